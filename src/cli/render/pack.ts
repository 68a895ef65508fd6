/** A pack for people: what went in, what it costs, and what came out; or why nothing did. */
import type { PackReport } from "../../generated/types.js";
import { variableRows } from "./environment.js";
import { renderFindings } from "./findings.js";
import { counted, formatBytes, type Line, table, type View } from "./text.js";

export function renderPack(report: PackReport, view: View): Line[] {
  const { bundle, plan, findings, dryRun, phases } = report;
  if (findings.length > 0 || plan === null) {
    return [
      { text: `NOT PACKED: ${counted(findings.length, "reason")} (exit ${report.exit})`, style: "bad" },
      ...renderFindings(findings, view),
    ];
  }
  const title: Line = dryRun
    ? { text: `PLAN for ${plan.product} ${plan.release}: nothing was written`, style: "warn" }
    : { text: `PACKED ${plan.product} ${plan.release}`, style: "good" };
  return [
    title,
    "",
    ...table([
      ["sequence", String(plan.sequence)],
      ["created", plan.created],
      ["tier", plan.tier],
      ["systems", plan.systems.join(", ")],
      ["out", plan.out],
      ...variableRows(plan.env),
      ...(bundle === null
        ? []
        : [
            ["bundle id", bundle.sha256],
            ["bundle", `${formatBytes(bundle.bytes)} (${bundle.bytes} bytes)`],
          ]),
    ]),
    "",
    ...table([
      ...plan.kinds.map(({ kind, paths, narBytes }) => [kind, counted(paths, "path"), formatBytes(narBytes)]),
      ["all", counted(plan.paths, "path"), formatBytes(plan.narBytes)],
    ]),
    ...(bundle === null
      ? [`bundle: between ${formatBytes(plan.size.least)} and ${formatBytes(plan.size.most)}`]
      : []),
    ...previous(plan.previous),
    "",
    "roots:",
    ...table(
      plan.roots.map(({ attr, purpose, drvPath, closureBytes, ownBytes }) => [
        `  ${purpose === "evaluation" ? "(imported at evaluation)" : attr}`,
        `closure ${formatBytes(closureBytes)}, of that ${formatBytes(ownBytes)} for it alone`,
        drvPath,
      ]),
    ),
    ...leftOut(plan.leftOut),
    ...secrets(plan.secrets),
    ...settings(plan.nixConfig),
    ...seconds(phases),
    "",
    ...signature(plan.signedBy, report),
  ];
}

function previous(before: NonNullable<PackReport["plan"]>["previous"]): string[] {
  if (before === null) return [];
  const of = ({ paths, narBytes }: typeof before.new) =>
    `${counted(paths, "path")}, ${formatBytes(narBytes)}`;
  return ["", `after sequence ${before.sequence}: ${of(before.reused)} as before; ${of(before.new)} new`];
}

function leftOut(attrs: readonly string[]): string[] {
  return attrs.length === 0
    ? []
    : ["", "not packed, though the flake has it:", ...attrs.map((attr) => `  ${attr}`)];
}

function secrets({ allowed, inPublic }: NonNullable<PackReport["plan"]>["secrets"]): string[] {
  if (allowed + inPublic === 0) return [];
  return [
    "",
    `files that look like secrets: ${allowed} allowed by name, ${inPublic} in inputs that anybody can fetch`,
  ];
}

function settings(nixConfig: NonNullable<PackReport["plan"]>["nixConfig"]): string[] {
  if (nixConfig.length === 0) return [];
  return [
    "",
    "settings that the flake asks for (nixConfig), which are in effect neither here nor on a site:",
    ...table(nixConfig.map(({ name, value }) => [`  ${name}`, value])),
  ];
}

function seconds(phases: PackReport["phases"]): string[] {
  const total = phases.reduce((sum, { seconds }) => sum + seconds, 0);
  const rows = phases.map(({ phase, seconds }) => [`  ${phase}`, `${seconds.toFixed(1)} s`]);
  return ["", `time: ${total.toFixed(1)} s`, ...table(rows)];
}

function signature(signedBy: string | null, { plan, bundle, dryRun }: PackReport): Line[] {
  if (signedBy !== null) {
    return [`${dryRun ? "would be signed" : "signed"} by ${signedBy}`];
  }
  const path = bundle?.path ?? plan?.out ?? "BUNDLE";
  return [
    {
      text: `UNSIGNED: verify refuses it (exit 12) until someone signs it: nix-airgap sign ${path} --key FILE`,
      style: "warn",
    },
  ];
}
