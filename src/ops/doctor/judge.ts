/** All checks in their order, with their words, and the exit code that follows. Facts in, checks out; pure. */
import { EXIT } from "../../errors.js";
import type { DoctorCheck, DoctorCheckId, DoctorReport } from "../../generated/types.js";
import type { DoctorFacts } from "./facts.js";
import {
  judgeNixConf,
  judgeNixVersion,
  judgeRequireSigs,
  judgeSandbox,
  judgeSubstituters,
  judgeTrustedKeys,
  judgeTrustedUsers,
} from "./judge-nix.js";
import {
  judgeClock,
  judgeImportKeyFile,
  judgeNode,
  judgePolicy,
  judgePolicyFile,
  judgeSshKeygen,
  judgeStateFolder,
  judgeStateSpace,
  judgeStoreSpace,
} from "./judge-site.js";
import type { Verdict } from "./verdict.js";

interface CheckSpec {
  readonly title: string;
  readonly why: string;
  readonly judge: (facts: DoctorFacts) => Verdict;
}

/** In the order in which they are reported. */
const CHECKS: Readonly<Record<DoctorCheckId, CheckSpec>> = {
  "nix-version": {
    title: "Known holes in Nix",
    why: "Through such a hole a build, a user or a crafted file can change the store, or become root.",
    judge: judgeNixVersion,
  },
  "nix-conf": {
    title: "File with Nix's settings",
    why: "Who writes Nix's settings decides what may enter the store.",
    judge: judgeNixConf,
  },
  "require-sigs": {
    title: "Signatures that Nix asks for",
    why: "Without them anything can be imported under any name; with them only what this site verified.",
    judge: judgeRequireSigs,
  },
  "trusted-public-keys": {
    title: "Keys that Nix trusts",
    why: "Whoever holds a trusted key can let software enter that nobody here approved.",
    judge: judgeTrustedKeys,
  },
  "trusted-users": {
    title: "Users that Nix trusts",
    why: "A trusted user can import what nobody signed: as good as root.",
    judge: judgeTrustedUsers,
  },
  sandbox: {
    title: "Sandbox of builds",
    why: "Outside of one a build can read this machine, and a rebuild proves less.",
    judge: judgeSandbox,
  },
  substituters: {
    title: "Binary caches that Nix asks",
    why: "Without a network each question waits until it times out.",
    judge: judgeSubstituters,
  },
  "store-space": {
    title: "Space for the store",
    why: "An import or a rebuild that runs out of space has to be run again.",
    judge: judgeStoreSpace,
  },
  "state-space": {
    title: "Space for the site's state",
    why: "What cannot be recorded cannot be imported.",
    judge: judgeStateSpace,
  },
  clock: {
    title: "Clock",
    why: "With an early clock an expired policy seems valid, and records say the wrong time.",
    judge: judgeClock,
  },
  policy: {
    title: "Policy",
    why: "It says who must have approved what enters.",
    judge: judgePolicy,
  },
  "policy-file": {
    title: "Who may change the policy",
    why: "Who can write the policy decides whose approval counts.",
    judge: judgePolicyFile,
  },
  "state-folder": {
    title: "Who may change the site's state",
    why: "Who can write it can let an older release in again.",
    judge: judgeStateFolder,
  },
  "import-key-file": {
    title: "Who may read the import key",
    why: "Who has it can let anything into the store.",
    judge: judgeImportKeyFile,
  },
  node: {
    title: "Node.js",
    why: "This program needs 20 or newer; older lines get no fixes.",
    judge: judgeNode,
  },
  "ssh-keygen": {
    title: "ssh-keygen",
    why: "Signing with an SSH key, a FIDO token among them, is its work; all else goes without it.",
    judge: judgeSshKeygen,
  },
};

export function judge(facts: DoctorFacts): DoctorCheck[] {
  return (Object.entries(CHECKS) as [DoctorCheckId, CheckSpec][]).map(([id, { title, why, judge }]) => {
    const { state, found, advice } = judge(facts);
    return { id, title, state, found, why, advice };
  });
}

/** 20 where Nix does not answer, whatever else is bad: then half of the checks say little. */
export function exitOfChecks(checks: readonly DoctorCheck[], { nix }: DoctorFacts): DoctorReport["exit"] {
  if (nix.kind === "unusable" || "code" in nix.settings) return EXIT.nix;
  return checks.some(({ state }) => state === "bad") ? EXIT.trust : EXIT.yes;
}
