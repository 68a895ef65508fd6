/** Judges Nix: its version and the settings that its daemon runs with. Facts in, verdicts out; pure. */
import { CODES } from "../../errors.js";
import type { NixSettings } from "../../host/nix/settings.js";
import { ADVISORIES_AS_OF, type Advisory, advisoriesFor, soundReleases } from "../../nix/advisories.js";
import { parseVersionLine } from "../../nix/version.js";
import type { DoctorFacts, Failure, Place } from "./facts.js";
import { writers } from "./judge-site.js";
import { bad, ok, unknown, type Verdict, warn } from "./verdict.js";

export function judgeNixVersion(facts: DoctorFacts): Verdict {
  const { nix } = facts;
  if (nix.kind === "unusable") {
    const { code, message } = nix.failure;
    return bad(`${code}: ${message}`, CODES[code].advice);
  }
  const line = parseVersionLine(nix.versionLine);
  const holes = line?.implementation === "Nix" ? advisoriesFor(line.version) : null;
  if (holes === null) {
    return unknown(
      `${nix.versionLine}: not a release of Nix itself, so its number tells nothing of known holes`,
      "Read the security advisories of whoever makes it, and compare.",
    );
  }
  if (holes.length === 0) {
    return ok(
      `${nix.versionLine}: none of the holes that this program knows of (its list is of ${ADVISORIES_AS_OF})`,
    );
  }
  const isShared = othersMayBuild(facts);
  const found = [
    `${nix.versionLine} has, by its version number and unless your distribution patched it, ${counted(holes.length, "known hole")}:`,
    ...holes.map(describeHole),
    isShared ? "Other users can have this machine's daemon build." : "Only root can have this machine build.",
  ].join("\n");
  // A number proves nothing, but who may build is in the site's own hands: narrowing that is what makes it a warning.
  const matters = holes.some(({ by }) => by === "contents" || (by === "users" && isShared));
  const install = `Install Nix ${soundReleases().join(", ")} or a later line, or find these CVEs in your distribution's changelog.`;
  if (!matters) return warn(found, install);
  const narrow = isShared
    ? ` Until then let only root build: allowed-users = root in ${facts.nixConf.path}${restart(facts)}`
    : "";
  return bad(found, `${install}${narrow}`);
}

function describeHole({ id, title, note }: Advisory): string {
  return `${id}: ${title}${note === null ? "" : ` (${note})`}`;
}

/** Where it cannot be told, they may. */
function othersMayBuild({ nix, hasDaemon }: DoctorFacts): boolean {
  if (!hasDaemon || nix.kind === "unusable") return hasDaemon;
  if ("code" in nix.settings) return true;
  const { allowedUsers, trustedUsers } = nix.settings;
  if (allowedUsers === null || trustedUsers === null) return true;
  return [...allowedUsers, ...trustedUsers].some((user) => user !== "root");
}

export function judgeNixConf(facts: DoctorFacts): Verdict {
  const { nix, nixConf, otherConfs } = facts;
  if (nix.kind === "unusable") return unusable(nix.failure);
  const { settings } = nix;
  if ("code" in settings) {
    return bad(
      `Nix does not say how it is set: ${settings.code}: ${settings.message}`,
      `Mend ${nixConf.path} until this works: nix --extra-experimental-features nix-command show-config`,
    );
  }
  const open = writers(nixConf, [0]);
  if (open.length > 0) {
    return bad(
      `${nixConf.path}: ${open.join("; ")}`,
      `chown root and chmod go-w ${nixConf.path} and its folder.`,
    );
  }
  const list = (places: readonly Place[]) => places.map(({ path }) => path).join(" and ");
  const present = otherConfs.filter(({ itself }) => itself.kind === "there");
  if (present.length > 0) {
    return warn(
      `beside ${nixConf.path} the daemon reads ${list(present)}, which the checks below do not see`,
      `Move what is set there to ${nixConf.path}, and remove it.`,
    );
  }
  const hidden = [nixConf, ...otherConfs].filter(({ itself }) => itself.kind === "hidden");
  if (hidden.length > 0) return unknown(`${list(hidden)} cannot be looked at`, "Run this as root.");
  return ok(
    nixConf.itself.kind === "missing"
      ? `${nixConf.path} is not there: Nix's defaults hold`
      : `${nixConf.path}, and no other file`,
  );
}

export const judgeRequireSigs = bySettings(({ requireSigs }, facts) => {
  if (requireSigs === null) return untold("require-sigs");
  if (requireSigs) return ok("require-sigs = true");
  return bad("require-sigs = false", set(facts, "require-sigs = true"));
});

export const judgeTrustedKeys = bySettings(({ trustedPublicKeys: keys, secretKeyFiles }, facts) => {
  if (keys === null) return untold("trusted-public-keys");
  const { importKey } = facts;
  const others = keys.filter((key) => key !== importKey);
  const listed = (some: readonly string[]) => some.map((key) => `\n${key}`).join("");
  // Nix trusts what these sign as well.
  const secrets = (secretKeyFiles ?? []).length;
  const local = secrets > 0 ? `\nand the keys of secret-key-files: ${secretKeyFiles?.join(" ")}` : "";
  if (importKey !== null && !keys.includes(importKey)) {
    return bad(
      `the site's import key ${importKey} is not among the ${counted(keys.length, "trusted key")}:${listed(keys)}${local}`,
      set(facts, `trusted-public-keys = ${importKey}`),
    );
  }
  if (others.length === 0 && secrets === 0) {
    return ok(importKey === null ? "no key is trusted" : `only the site's import key: ${importKey}`);
  }
  if (importKey === null) {
    return warn(
      `the site keeps no import key, and everything that one of these keys signed may enter:${listed(keys)}${local}`,
      set(facts, "trusted-public-keys =", "restore gives Nix a key of its own for each run"),
    );
  }
  return warn(
    `keys other than the site's import key may let things enter:${listed(others)}${local}`,
    set(facts, `trusted-public-keys = ${importKey}`),
  );
});

export const judgeTrustedUsers = bySettings(({ trustedUsers }, facts) => {
  if (trustedUsers === null) return untold("trusted-users");
  const others = trustedUsers.filter((user) => user !== "root");
  if (others.length === 0) return ok("only root");
  const found = `beside root: ${others.join(" ")}`;
  const advice = set(facts, "trusted-users = root");
  // Who is in a group is decided elsewhere: nobody who reads these settings can tell.
  return others.some((user) => user === "*" || user.startsWith("@"))
    ? bad(found, advice)
    : warn(found, advice);
});

export const judgeSandbox = bySettings(({ sandbox, sandboxFallback }, facts) => {
  if (sandbox === null) return untold("sandbox");
  if (sandboxFallback === null) return untold("sandbox-fallback");
  const found = `sandbox = ${sandbox}, sandbox-fallback = ${sandboxFallback}`;
  const advice = set(facts, "sandbox = true and sandbox-fallback = false");
  if (sandbox === false) return bad(`${found}: builds see all of this machine`, advice);
  if (sandbox === "relaxed") return warn(`${found}: a build may ask to leave the sandbox`, advice);
  return sandboxFallback
    ? warn(`${found}: where the kernel refuses a sandbox, Nix builds without one and says nothing`, advice)
    : ok(found);
});

export const judgeSubstituters = bySettings(({ substituters, substitute }, facts) => {
  if (substituters === null) return untold("substituters");
  if (substituters.length === 0) return ok("none");
  const found = `substituters = ${substituters.join(" ")}`;
  if (substitute === false) return ok(`${found}, but substitute = false turns them off`);
  return warn(found, set(facts, "substituters ="));
});

function bySettings(
  judge: (settings: NixSettings, facts: DoctorFacts) => Verdict,
): (facts: DoctorFacts) => Verdict {
  return (facts) => {
    const { nix } = facts;
    if (nix.kind === "unusable") return unusable(nix.failure);
    if ("code" in nix.settings) {
      return unknown(`Nix does not say how it is set: ${nix.settings.code}`, "See the check of nix.conf.");
    }
    return judge(nix.settings, facts);
  };
}

/** The first check has Nix's own words. */
function unusable({ code }: Failure): Verdict {
  return bad(`${code}: ${CODES[code].explain}, so that this could not be asked`, CODES[code].advice);
}

function untold(setting: string): Verdict {
  return unknown(
    `this Nix does not say what ${setting} is`,
    `Look it up: nix --extra-experimental-features nix-command show-config ${setting}`,
  );
}

function set(facts: DoctorFacts, line: string, why?: string): string {
  return `Set ${line} in ${facts.nixConf.path}${why === undefined ? "" : `; ${why}`}${restart(facts)}`;
}

function restart({ hasDaemon }: DoctorFacts): string {
  return hasDaemon ? "; then restart the daemon: systemctl restart nix-daemon." : ".";
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
