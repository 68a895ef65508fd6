/** The URL by which a command names a `serve`, where else it takes a path. Opens nothing. */
import { fail } from "../errors.js";

/** Whether somebody names a server, and not a path. */
export function isServerUrl(text: string): boolean {
  return /^https?:\/\//i.test(text);
}

/** The place below which a server has its files: ends in a slash. @throws AirgapError USAGE */
export function parseServerUrl(text: string): URL {
  const refuse = (actual: string): never =>
    fail("USAGE", { subject: text, expected: "http://HOST:PORT/, as serve prints it", actual });
  if (!URL.canParse(text)) return refuse("no URL");
  const url = new URL(text);
  if (url.protocol !== "http:" && url.protocol !== "https:") return refuse(url.protocol);
  if (url.username !== "" || url.password !== "") return refuse("a user name or password");
  if (url.search !== "" || url.hash !== "") return refuse("a query or fragment");
  if (!url.pathname.endsWith("/")) url.pathname += "/";
  return url;
}
