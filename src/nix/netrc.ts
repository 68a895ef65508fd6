/** The hosts of a netrc file, as curl reads it; neither names nor passwords. */

/** Whether it has an entry for a host; `default` is one for every host. */
export function parseNetrcHosts(text: string): (host: string) => boolean {
  const hosts = new Set<string>();
  let isDefault = false;
  // What follows on one word is its value, whatever it looks like.
  const words = text.split(/\s+/);
  for (let at = 0; at < words.length; at++) {
    const word = words[at];
    if (word === "default") isDefault = true;
    if (word === "machine") hosts.add((words[at + 1] ?? "").toLowerCase());
    if (word === "machine" || word === "login" || word === "password" || word === "account") at += 1;
  }
  return (host) => isDefault || hosts.has(host.toLowerCase());
}
