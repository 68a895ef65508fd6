/** What `nix show-config --json` prints: `{ NAME: { value, … } }`. Measured on 2.8.0, 2.26.3 and 2.34.8. What is good is for others. */
import { fail } from "../../errors.js";

/** Null where this Nix does not say, or says it in another form. */
export interface NixSettings {
  readonly requireSigs: boolean | null;
  readonly trustedPublicKeys: readonly string[] | null;
  readonly secretKeyFiles: readonly string[] | null;
  readonly trustedUsers: readonly string[] | null;
  readonly allowedUsers: readonly string[] | null;
  readonly sandbox: boolean | "relaxed" | null;
  readonly sandboxFallback: boolean | null;
  /** As nix.conf has them: `/bin/sh=/usr/bin/bash-static`. */
  readonly sandboxPaths: readonly string[] | null;
  readonly system: string | null;
  /** Others that this machine builds for. */
  readonly extraPlatforms: readonly string[] | null;
  readonly substitute: boolean | null;
  readonly substituters: readonly string[] | null;
}

/** @throws AirgapError NIX_FAILED for what is no such document */
export function parseSettings(text: string): NixSettings {
  const settings = parseObject(text);
  const value = (name: string): unknown => {
    const entry = Object.hasOwn(settings, name) ? settings[name] : undefined;
    return isObject(entry) ? entry["value"] : undefined;
  };
  const flag = (name: string): boolean | null => {
    const found = value(name);
    return typeof found === "boolean" ? found : null;
  };
  const words = (name: string): string[] | null => {
    const found = value(name);
    return Array.isArray(found) && found.every((word) => typeof word === "string") ? found : null;
  };
  const system = value("system");
  return {
    requireSigs: flag("require-sigs"),
    trustedPublicKeys: words("trusted-public-keys"),
    secretKeyFiles: words("secret-key-files"),
    trustedUsers: words("trusted-users"),
    allowedUsers: words("allowed-users"),
    sandbox: value("sandbox") === "relaxed" ? "relaxed" : flag("sandbox"),
    sandboxFallback: flag("sandbox-fallback"),
    sandboxPaths: words("sandbox-paths") ?? mounts(value("sandbox-paths")),
    system: typeof system === "string" ? system : null,
    extraPlatforms: words("extra-platforms"),
    substitute: flag("substitute"),
    substituters: words("substituters"),
  };
}

/** The form of 2.34: `{ "/bin/sh": { "source": "/usr/bin/bash-static", "optional": false } }`. */
function mounts(value: unknown): string[] | null {
  if (!isObject(value)) return null;
  const paths = Object.entries(value).map(([target, mount]) => {
    const source = isObject(mount) ? mount["source"] : undefined;
    return typeof source === "string" && source !== target ? `${target}=${source}` : target;
  });
  return paths.sort();
}

function parseObject(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    if (isObject(value)) return value;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  return fail("NIX_FAILED", {
    subject: "nix show-config --json",
    expected: "a JSON object",
    actual: text.slice(0, 100),
  });
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
