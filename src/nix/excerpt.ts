/** How refused input is shown in an error: escaped, so that it is inert on a terminal, and short. Owns nothing else. */

const MAX_EXCERPT = 120;

/** `text` as a JSON string of printable ASCII, cut at 120 characters of input. */
export function excerpt(text: string): string {
  const shown = text.length > MAX_EXCERPT ? `${text.slice(0, MAX_EXCERPT)}...` : text;
  return JSON.stringify(shown).replace(
    /[\x7f-\uffff]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
