/** What is good and what is not about a site, by what was found there. Pure: facts in, checks out, each with what to do. */
import type { DoctorCheck } from "../../generated/types.js";
import { advisoriesFor, parseNixVersion } from "../../nix/advisories.js";
import { secondsOf } from "../../time.js";

export interface FileFacts {
  readonly path: string;
  readonly uid: number;
  /** Permission bits. */
  readonly mode: number;
}

export interface SiteFacts {
  /** As `time.ts` writes it. */
  readonly now: string;
  readonly node: string;
  /** Null where Nix is missing; `settings` where it would not tell them. */
  readonly nix: {
    readonly version: string;
    readonly settings: ReadonlyMap<string, unknown> | null;
  } | null;
  /** Free bytes, by what is kept there. */
  readonly space: readonly { readonly what: string; readonly path: string; readonly freeBytes: number }[];
  /** Null where nothing is pinned; `problem` where policy or state cannot be used. */
  readonly site: {
    readonly lastSeen: string | null;
    readonly policy: { readonly version: number; readonly expires: string | null } | null;
    readonly clockDriftSeconds: number;
    readonly problem: string | null;
  } | null;
  /** `name:base64`; null where the site keeps none; undefined where it may not be read. */
  readonly importKey: string | null | undefined;
  readonly files: readonly FileFacts[];
  readonly importKeyFile: FileFacts | null;
  readonly sshKeygen: boolean;
}

type State = DoctorCheck["state"];

const GIGABYTE = 1e9;
const DAY = 24 * 60 * 60;
const SOON = 60 * DAY;

export function judgeSite(facts: SiteFacts): DoctorCheck[] {
  return [
    ...nixVersion(facts),
    ...nixSettings(facts),
    ...space(facts),
    clock(facts),
    policy(facts),
    importKey(facts),
    permissions(facts),
    node(facts),
    sshKeygen(facts),
  ];
}

const check = (
  id: string,
  title: string,
  [state, found]: readonly [State, string],
  why: string,
  advice: string,
): DoctorCheck => ({ id, title, state, found, why, advice: state === "ok" ? null : advice });

function nixVersion({ nix }: SiteFacts): DoctorCheck[] {
  const why = "Nix's daemon is root: a hole in it is one for everybody who may use it.";
  if (nix === null) {
    const advice = "Install Nix 2.8 or newer (Debian: apt-get install nix-bin).";
    return [check("nix", "Nix is there", ["bad", "none on PATH"], "restore and rebuild need it.", advice)];
  }
  const version = parseNixVersion(nix.version);
  if (version === null) {
    const found = ["unknown", `${nix.version}, of which this program has no list`] as const;
    return [check("nix-version", "Nix without known holes", found, why, "Ask its maker for its advisories.")];
  }
  const open = advisoriesFor(version);
  if (open.length === 0) {
    return [check("nix-version", "Nix without known holes", ["ok", nix.version], why, "")];
  }
  const advice =
    "Update Nix, or learn from your distribution that it closed these without a new number (apt changelog nix-bin); until then let nobody build here whom you do not trust (allowed-users).";
  const list = open.map(({ id, title }) => `${id}: ${title}`);
  const found = [`${nix.version}, by its number with ${open.length} known holes`, ...list].join("\n");
  return [check("nix-version", "Nix without known holes", ["warn", found], why, advice)];
}

function nixSettings({ nix, importKey }: SiteFacts): DoctorCheck[] {
  const settings = nix?.settings ?? null;
  if (nix === null) return [];
  if (settings === null) {
    const why = "By its settings Nix decides what enters its store.";
    return [
      check(
        "nix-settings",
        "Nix's settings can be read",
        ["unknown", "nix show-config failed"],
        why,
        "Run it by hand, and read what it says.",
      ),
    ];
  }
  const words = (name: string): string[] => {
    const value = settings.get(name);
    return Array.isArray(value) ? value.map(String) : [];
  };
  const users = words("trusted-users").filter((user) => user !== "root");
  const substituters = words("substituters");
  return [
    check(
      "require-sigs",
      "Nix asks for signatures",
      settings.get("require-sigs") === true ? ["ok", "require-sigs = true"] : ["bad", "require-sigs = false"],
      "Without it anybody who may use the daemon imports what they like.",
      "Set require-sigs = true in /etc/nix/nix.conf, and restart nix-daemon.",
    ),
    trustedKeys(words("trusted-public-keys"), importKey),
    check(
      "trusted-users",
      "Nix trusts root alone",
      users.length === 0
        ? ["ok", "root"]
        : [users.includes("*") ? "bad" : "warn", `also ${users.join(", ")}`],
      "A trusted user may turn signatures off, which is as much as root.",
      "Set trusted-users = root in /etc/nix/nix.conf, and restart nix-daemon.",
    ),
    sandbox(settings),
    check(
      "substituters",
      "Nix looks nowhere else for paths",
      substituters.length === 0 ? ["ok", "none"] : ["warn", substituters.join(", ")],
      "Without a network each path that is missing waits for one; with one, paths come from there.",
      "Set substituters = (nothing) in /etc/nix/nix.conf, and restart nix-daemon.",
    ),
  ];
}

function trustedKeys(keys: readonly string[], importKey: SiteFacts["importKey"]): DoctorCheck {
  const title = "Nix trusts the site's import key, and no other";
  const why = "Whoever holds one of these keys can sign what enters the store, past the gate.";
  const advice =
    "Set trusted-public-keys to the site's import key alone: nix-airgap trust import-key init prints the line.";
  const found = keys.length === 0 ? "none" : keys.map((key) => key.split(":")[0]).join(", ");
  if (importKey === undefined) {
    return check(
      "trusted-public-keys",
      title,
      ["unknown", `${found}; the import key is not for you to read`],
      why,
      "Run doctor as the user that owns the state.",
    );
  }
  if (importKey === null)
    return check(
      "trusted-public-keys",
      title,
      ["warn", `${found}; this site keeps no import key`],
      why,
      advice,
    );
  if (!keys.includes(importKey))
    return check("trusted-public-keys", title, ["bad", `${found}; not the import key`], why, advice);
  return check("trusted-public-keys", title, [keys.length === 1 ? "ok" : "warn", found], why, advice);
}

function sandbox(settings: ReadonlyMap<string, unknown>): DoctorCheck {
  const isOn = settings.get("sandbox") === true;
  const fallsBack = settings.get("sandbox-fallback") !== false;
  const found = `sandbox = ${isOn}, sandbox-fallback = ${fallsBack}`;
  return check(
    "sandbox",
    "Nix builds in its sandbox, or not at all",
    [isOn && !fallsBack ? "ok" : "warn", found],
    "A build outside of the sandbox sees this machine, and may come out another way. rebuild asks for the sandbox by itself.",
    "Set sandbox = true and sandbox-fallback = false in /etc/nix/nix.conf, and restart nix-daemon.",
  );
}

function space({ space: disks }: SiteFacts): DoctorCheck[] {
  return disks.map(({ what, path, freeBytes }) =>
    check(
      `space-${what}`,
      `room for the ${what}`,
      [freeBytes >= GIGABYTE ? "ok" : "warn", `${(freeBytes / GIGABYTE).toFixed(1)} GB free at ${path}`],
      "restore asks for the room that it needs before it begins.",
      "Free space: nix-store --gc removes what nothing roots.",
    ),
  );
}

function clock({ now, site }: SiteFacts): DoctorCheck {
  const title = "the clock is not behind";
  const why = "By its clock a site knows what has expired; set back, it would take what is too old.";
  const lastSeen = site?.lastSeen ?? null;
  if (site === null || lastSeen === null) {
    return check(
      "clock",
      title,
      ["unknown", `${now}; nothing to compare it with`],
      why,
      "Pin a policy: nix-airgap trust init.",
    );
  }
  const isBehind = secondsOf(now) < secondsOf(lastSeen) - site.clockDriftSeconds;
  return check(
    "clock",
    title,
    [isBehind ? "bad" : "ok", `${now}; last time seen ${lastSeen}`],
    why,
    "Set the clock. If it had been ahead by mistake: nix-airgap trust reset-clock --reason TEXT.",
  );
}

function policy({ now, site }: SiteFacts): DoctorCheck {
  const title = "a policy, and not past its end";
  const why = "It says whose approvals count here.";
  if (site === null) {
    return check(
      "policy",
      title,
      ["warn", "none"],
      why,
      "Pin one: nix-airgap trust init POLICY --sha256 HASH. Without it each command needs --public-key.",
    );
  }
  if (site.problem !== null || site.policy === null) {
    return check(
      "policy",
      title,
      ["bad", site.problem ?? "it cannot be read"],
      why,
      "Compare policy and state with the card and a backup; nothing is taken until then.",
    );
  }
  const { version, expires } = site.policy;
  const left = expires === null ? Number.POSITIVE_INFINITY : secondsOf(expires) - secondsOf(now);
  const state: State = left < 0 ? "bad" : left < SOON ? "warn" : "ok";
  const until = expires === null ? "never expires" : `${left < 0 ? "expired" : "expires"} ${expires}`;
  return check(
    "policy",
    title,
    [state, `version ${version}, ${until}`],
    why,
    "Ask its signers for the next version: nix-airgap trust update.",
  );
}

function importKey({ importKey: key, importKeyFile }: SiteFacts): DoctorCheck {
  const title = "the import key is for its owner alone";
  const why = "Whoever reads it can sign what Nix's daemon takes.";
  if (key === null) {
    return check("import-key", title, ["ok", "this site keeps none: each restore makes one"], why, "");
  }
  if (importKeyFile === null) {
    return check(
      "import-key",
      title,
      ["unknown", "its file cannot be seen"],
      why,
      "Run doctor as the user that owns the state.",
    );
  }
  const { path, mode } = importKeyFile;
  const isPrivate = (mode & 0o077) === 0;
  return check(
    "import-key",
    title,
    [isPrivate ? "ok" : "bad", `${path}, mode ${mode.toString(8)}`],
    why,
    `chmod 600 ${path}; if others may have read it, make another.`,
  );
}

function permissions({ files }: SiteFacts): DoctorCheck {
  const title = "policy and state can be changed by their owner alone";
  const why = "Whoever writes them decides what this site takes.";
  if (files.length === 0)
    return check(
      "permissions",
      title,
      ["unknown", "there are none yet"],
      why,
      "nix-airgap trust init makes them.",
    );
  const open = files.filter(({ mode }) => (mode & 0o022) !== 0);
  const owners = new Set(files.map(({ uid }) => uid));
  const found =
    open.length > 0
      ? open.map(({ path, mode }) => `${path} has mode ${mode.toString(8)}`).join(", ")
      : owners.size > 1
        ? `owned by several users: ${[...owners].join(", ")}`
        : `owned by user ${[...owners][0]}`;
  const state: State = open.length > 0 ? "bad" : owners.size > 1 ? "warn" : "ok";
  return check(
    "permissions",
    title,
    [state, found],
    why,
    "chmod go-w them, and give all of them to one user: nix-airgap trust install.",
  );
}

function node({ node: version }: SiteFacts): DoctorCheck {
  const isNew = Number(version.split(".")[0]) >= 20;
  return check(
    "node",
    "Node.js 20 or newer",
    [isNew ? "ok" : "bad", version],
    "This program runs on it.",
    "Install a newer Node.js.",
  );
}

function sshKeygen({ sshKeygen: isThere }: SiteFacts): DoctorCheck {
  return check(
    "ssh-keygen",
    "ssh-keygen, for whoever signs with an OpenSSH key",
    ["ok", isThere ? "there" : "not there: signatures by such keys are checked all the same"],
    "sign --ssh-key runs it.",
    "",
  );
}
