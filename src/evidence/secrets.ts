/**
 * Files that look like secrets: by their names, or by how they begin. A guess for people to judge; never repeats what a file
 * holds.
 */

/** Bytes of a file that are looked at. */
export const SECRET_HEAD = 64 * 1024;

const NAMES: readonly (readonly [pattern: RegExp, what: string])[] = [
  [/^\.env(\.(?!example$|sample$|template$|dist$|defaults?$)[\w-]+)*$/i, "an environment file"],
  [/^[._]?netrc$/i, "passwords for hosts (netrc)"],
  [/^\.git-credentials$/i, "passwords for git"],
  [/^\.pgpass$/i, "passwords for PostgreSQL"],
  [/^\.htpasswd$/i, "passwords for a web server"],
  [/^id_(rsa|dsa|ecdsa|ed25519)(_sk)?$/i, "a private SSH key"],
  [/\.(p12|pfx|jks|keystore|kdbx)$/i, "a store of keys"],
];

const CONTENTS: readonly (readonly [pattern: RegExp, what: string])[] = [
  [/-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----/, "a private key"],
  [/^PuTTY-User-Key-File-\d/m, "a private key of PuTTY"],
  [/^[!-9;-~]{1,200}:[A-Za-z0-9+/]{86}==$/m, "a secret key of Nix"],
  [/\bAGE-SECRET-KEY-1[0-9A-Z]{58}\b/, "a secret key of age"],
  [
    /\b(?:AKIA|ASIA)[0-9A-Z]{16}\b[\s\S]{0,400}?[^A-Za-z0-9/+][A-Za-z0-9/+]{40}(?![A-Za-z0-9/+])/,
    "keys of AWS",
  ],
  [/\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{60,})\b/, "a token of GitHub"],
  [/\bglpat-[A-Za-z0-9_-]{20,}\b/, "a token of GitLab"],
  [/\bxox[abprs]-[A-Za-z0-9-]{20,}\b/, "a token of Slack"],
  [/^\s*machine\s+\S+\s+(?:login\s+\S+\s+)?password\s+\S+/m, "passwords for hosts (netrc)"],
  [/^\s*(?:extra-)?access-tokens\s*=\s*\S+=\S+/m, "access tokens of Nix"],
  [/\bpypi-[A-Za-z0-9_-]{50,}/, "a token of PyPI"],
  [
    // But not where a document shows how one looks.
    /\b(?:git\+)?(?:https?|ftp|ssh):\/\/[^\s/:@"'<>$%{}]{1,100}:(?!(?:pass(?:word|wd)?|pw|secret|token|x+|\*+)@)[^\s/@"'<>${}]{3,200}@[\w[]/i,
    "a password in a URL",
  ],
  [/^\s*(?:\/\/[^\s:]+\/:)?_(?:authToken|auth|password)\s*=\s*(?!\$)\S{8,}/m, "a token of npm"],
];

/** What it looks like, by its name alone (no folders); null where it looks like nothing. */
export function secretByName(name: string): string | null {
  return NAMES.find(([pattern]) => pattern.test(name))?.[1] ?? null;
}

/** Whether a file of such a name is worth being opened where there are very many. */
export function mayHoldKey(name: string): boolean {
  return /\.(pem|key|sec|asc|gpg|ppk|age|cfg|conf|npmrc|ya?ml|json|toml)$|^\.npmrc$|secret|credential|token|passw/i.test(
    name,
  );
}

/** The same by the first bytes of what it holds. */
export function secretByContent(head: Uint8Array): string | null {
  const text = Buffer.from(head.subarray(0, SECRET_HEAD)).toString("latin1");
  return CONTENTS.find(([pattern]) => pattern.test(text))?.[1] ?? null;
}
