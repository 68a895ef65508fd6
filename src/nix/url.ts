/** What in a URL must not be told: names, passwords and tokens. */

const SCHEME = /^(?:git\+|tarball\+|file\+|hg\+)?(https?|ftps?|ssh|s3|git):\/\//i;
/** Parameters that stand for a password: those of forges, and of presigned URLs. */
const SECRET_PARAMETER =
  /^(access_?token|auth_?token|private_?token|job_?token|token|api_?key|password|passwd|secret|sig|x-(amz|goog)-(signature|security-token|credential))$/i;

/** What it tells, in words; null where it tells nothing. A user's name alone is none for ssh, which cannot do without. */
export function secretInUrl(url: string): string | null {
  const [start, scheme] = SCHEME.exec(url) ?? [];
  if (start === undefined) return null;
  const authority = /^[^/?#]*/.exec(url.slice(start.length))?.[0] ?? "";
  const at = authority.lastIndexOf("@");
  const user = at < 0 ? "" : authority.slice(0, at);
  if (user.includes(":")) return "a password in a URL";
  // Forges take a token in place of a name.
  if (user !== "" && /^http/i.test(scheme ?? "")) return "a name or token in a URL";
  const query = /\?([^#]*)/.exec(url)?.[1] ?? "";
  const isSecret = (parameter: string) => {
    const [name = "", value = ""] = parameter.split("=");
    return value !== "" && SECRET_PARAMETER.test(name);
  };
  return query.split("&").some(isSecret) ? "a token in a URL" : null;
}

/** A text with what stands before `@` in its URLs taken out. */
export function withoutPasswords(text: string): string {
  return text.replace(/([a-z][a-z0-9+.-]{0,20}:\/\/)[^/?#@\s'"]{1,1000}@/gi, "$1");
}

/** Whether only some networks can reach that host: by its name or address. */
export function isPrivateHost(host: string): boolean {
  const name = host.toLowerCase();
  if (name.startsWith("[")) return /^\[(::1|f[cd]|fe[89ab])/.test(name);
  if (/^\d+(\.\d+){3}$/.test(name)) {
    return /^(0|10|127|169\.254|192\.168|172\.(1[6-9]|2\d|3[01])|100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7]))\./.test(
      name,
    );
  }
  return (
    !name.includes(".") ||
    /\.(localhost|local|internal|intranet|lan|corp|home|private|home\.arpa|test)$/.test(name)
  );
}
