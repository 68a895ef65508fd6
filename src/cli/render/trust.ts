/** What the trust commands have to say to people: the card, the site's state, what changed. */
import { basename } from "node:path";
import type {
  ImportKeyReport,
  PolicyReport,
  RollbackReport,
  TrustReport,
  TrustStatusReport,
} from "../../generated/types.js";
import { renderFindings } from "./findings.js";
import { counted, type Line, table, type View } from "./text.js";

/** One page, for paper: hashes in groups of eight, which people compare. */
export function renderCard({ path, card }: PolicyReport): Line[] {
  const { name, version, sha256, expires, program, keys } = card;
  return [
    "NIX-AIRGAP POLICY CARD",
    "",
    ...table([
      ["policy", name],
      ["version", `${version}`],
      ["sha256", grouped(sha256)],
      ["expires", expires ?? "never"],
      ["program", `nix-airgap ${program.version}`],
      ["its sha256", program.sha256 === null ? "(not the one-file release)" : grouped(program.sha256)],
    ]),
    "",
    "keys:",
    ...keys.flatMap(({ holder, kind, hash, roles, scheme, revoked }) => [
      `  ${holder}${kind === "machine" ? ", a machine" : ""}: ${roles.join(", ")}${revoked ? "  REVOKED" : ""}`,
      `    ${scheme}  ${grouped(hash)}`,
    ]),
    "",
    `On the site, after comparing both hashes with this card:`,
    `  nix-airgap trust init ${basename(path)} --sha256 ${sha256}`,
  ];
}

function grouped(hex: string): string {
  return hex.replace(/(.{8})(?=.)/g, "$1 ");
}

export function renderTrust(report: TrustReport, view: View): Line[] {
  const { verb, verdict, site, before, after, findings, signers, exit } = report;
  const title: Line =
    verdict === "refused"
      ? { text: `NOT CHANGED: ${counted(findings.length, "finding")} (exit ${exit})`, style: "bad" }
      : { text: verdict === "done" ? DONE[verb] : `NOTHING TO DO: ${ALREADY[verb]}`, style: "good" };
  return [
    title,
    "",
    ...table([
      ["policy", site.policyPath],
      ["state", site.stateDir],
      ...(before === null ? [] : [["before", `version ${before.version} (${before.sha256})`]]),
      ...(after === null ? [] : [["now", `version ${after.version} (${after.sha256})`]]),
      ...signers.map((signer) => ["signed by", signer]),
    ]),
    ...renderFindings(findings, view),
  ];
}

const DONE: Readonly<Record<TrustReport["verb"], string>> = {
  init: "PINNED: this site trusts by this policy from now on",
  update: "UPDATED: this site follows the new policy",
  "reset-clock": "RESET: this site goes by its clock as it is now",
};
const ALREADY: Readonly<Record<TrustReport["verb"], string>> = {
  init: "this policy is pinned",
  update: "this site has that policy",
  "reset-clock": "the clock is not behind",
};

export function renderStatus(report: TrustStatusReport): Line[] {
  const { site, policy, lastSeen, now, isHalfUpdated, importKey, products } = report;
  return [
    ...table([
      ["policy", `${policy.name}, version ${policy.version}, expires ${policy.expires ?? "never"}`],
      ["file", site.policyPath],
      ["sha256", policy.sha256],
      ["state", site.stateDir],
      ["last time seen", lastSeen],
      ["clock", now],
      ["import key", importKey ?? "none: one for each import"],
    ]),
    ...(isHalfUpdated
      ? ["", "An update of the policy was interrupted: run nix-airgap trust update again."]
      : []),
    ...products.flatMap(({ product, sequence, accepted }) => [
      "",
      `${product}: takes sequence ${sequence} and higher`,
      ...table(
        accepted.map((entry) => [
          `  ${entry.at}`,
          `sequence ${entry.sequence}`,
          entry.release,
          `${entry.systems.join("+")} ${entry.tier}`,
          entry.sha256,
        ]),
      ),
    ]),
    ...(products.length === 0 ? ["", "It has taken no release yet."] : []),
  ];
}

export function renderImportKey({ verdict, path, publicKey, nixConf }: ImportKeyReport): Line[] {
  const made = "MADE: what passes this site's gate is signed by its own key";
  return [
    { text: verdict === "done" ? made : "NOTHING TO DO: this site has a key", style: "good" },
    "",
    ...table([
      ["public key", publicKey],
      ["secret", path],
    ]),
    "",
    "For /etc/nix/nix.conf, in place of what it has of these; then restart nix-daemon:",
    ...nixConf.map((line) => `  ${line}`),
  ];
}

export function renderRollback(report: RollbackReport, view: View): Line[] {
  const { verdict, file, product, release, sequence, sha256, fromSequence, expires, signer, findings, exit } =
    report;
  if (verdict === "refused") {
    return [
      { text: `NOT SIGNED: ${counted(findings.length, "finding")} (exit ${exit})`, style: "bad" },
      ...renderFindings(findings, view),
    ];
  }
  return [
    { text: `AUTHORIZED: back to ${product} ${release}, until ${expires}`, style: "good" },
    "",
    ...table([
      ["bundle id", sha256 ?? ""],
      ["sequence", `${sequence}, on sites that took none over ${fromSequence}`],
      ["signer", signer],
      ["file", file ?? ""],
    ]),
    "",
    "On the site, with as many such files as its policy asks for:",
    `  nix-airgap restore BUNDLE --rollback ${file}`,
  ];
}
