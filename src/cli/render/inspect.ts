/** What a bundle says about itself, for people: first of all, that nothing of it is verified. */
import type { InspectedDocument, InspectReport } from "../../generated/types.js";
import { formatTime } from "../../time.js";
import { variableRows } from "./environment.js";
import { renderFindings } from "./findings.js";
import { counted, formatBytes, formatCount, type Line, table, type View } from "./text.js";

export function renderInspect(report: InspectReport, view: View): Line[] {
  const { document, medium, sha256, approvals, problems } = report;
  return [
    {
      text: "NOT VERIFIED: this is what the bundle says about itself; trust nothing of it before nix-airgap verify",
      style: "warn",
    },
    "",
    ...table([
      [
        "bundle",
        `${medium.path} (${medium.kind}, ${counted(medium.files, "file")}, ${formatBytes(medium.bytes)})`,
      ],
      ["bundle id", sha256 ?? "unknown: there is no bundle.json that can be read"],
      ...(document === null ? [] : identity(document)),
    ]),
    ...(document === null ? [] : contents(document)),
    "",
    approvals.length === 0 ? "approvals: none, it is not signed" : "approvals, not verified:",
    ...table(
      approvals.map(({ file, role, signer, decision, signedAt }) => [
        `  ${decision ?? "?"}`,
        `role ${role ?? "?"}`,
        `by ${signer ?? "?"}`,
        `at ${signedAt ?? "?"}`,
        file,
      ]),
    ),
    ...(problems.length === 0
      ? []
      : [
          "",
          `SOMETHING IS WRONG with this bundle; nix-airgap verify finds all of it:`,
          ...renderFindings(problems, view),
        ]),
  ];
}

function identity(document: InspectedDocument): string[][] {
  const {
    product,
    release,
    sequence,
    previous,
    created,
    tier,
    systems,
    tools,
    minimumNix,
    env,
    flake,
    totals,
  } = document;
  return [
    ["product", product],
    ["release", release],
    [
      "sequence",
      previous === null ? String(sequence) : `${sequence}, after ${previous.sequence} (${previous.sha256})`,
    ],
    ["created", created],
    ["tier", tier],
    ["systems", systems.join(", ")],
    ["packed by", `nix-airgap ${tools.nixAirgap} with Nix ${tools.nix}; needs Nix ${minimumNix} or newer`],
    ...variableRows(env),
    [
      "flake",
      [flake.url ?? "a local folder", flake.dir && `dir ${flake.dir}`, flake.ref, moment(flake)]
        .filter(Boolean)
        .join(", "),
    ],
    [
      "holds",
      `${counted(totals.paths, "path")}, NARs of ${formatBytes(totals.narBytes)} in ${counted(totals.blobs, "blob")} of ${formatBytes(totals.blobBytes)}`,
    ],
  ];
}

function contents(document: InspectedDocument): string[] {
  const { inputs, roots, kinds, signatures, unsigned, knownIrreproducible, docs, largest, tree } = document;
  const section = (title: string, rows: string[][]): string[] =>
    rows.length === 0
      ? []
      : ["", `${title}:`, ...table(rows.map(([first, ...rest]) => [`  ${first}`, ...rest]))];
  return [
    ...section(
      "roots",
      roots.map(({ attr, purpose, outputs, closurePaths, closureBytes }) => [
        purpose === "evaluation" ? "(imported at evaluation)" : attr,
        outputs.map(({ path }) => path).join(" "),
        closurePaths === null || closureBytes === null
          ? ""
          : `${counted(closurePaths, "path")}, ${formatBytes(closureBytes)}`,
      ]),
    ),
    ...section(
      "inputs",
      inputs.map(({ node, reference, parent, ...rest }) => [
        node,
        parent === null ? (reference ?? "?") : `in the tree of ${parent}`,
        moment(rest),
      ]),
    ),
    ...section(
      "paths by kind (one may have several)",
      kinds.map(({ kind, paths, narBytes }) => [kind, formatCount(paths), formatBytes(narBytes)]),
    ),
    ...section("signatures on store paths, not verified", [
      ...signatures.map(({ keyName, paths }) => [keyName, counted(paths, "path")]),
      ...(unsigned > 0 ? [["(nobody)", counted(unsigned, "path")]] : []),
    ]),
    ...section(
      "known to be irreproducible",
      knownIrreproducible.map(({ drvPath, reason }) => [drvPath, reason]),
    ),
    ...section(
      "documents",
      docs.map(({ name, mediaType, size }) => [name, mediaType, formatBytes(size)]),
    ),
    ...section(
      "largest paths",
      largest.map(({ storePath, narSize, closureBytes }) => [
        formatBytes(narSize),
        ...(closureBytes === null ? [] : [`with closure ${formatBytes(closureBytes)}`]),
        storePath,
      ]),
    ),
    ...(tree === null ? [] : ["", "tree of the roots' outputs:", ...tree.map(treeLine)]),
  ];
}

const NOTES = { repeated: " …", missing: " (MISSING)", deep: " … (too deep to show)" } as const;

function treeLine({
  depth,
  storePath,
  narSize,
  note,
}: NonNullable<InspectedDocument["tree"]>[number]): string {
  const size = narSize === null || note === "repeated" ? "" : `  ${formatBytes(narSize)}`;
  return `  ${"   ".repeat(depth)}${storePath}${size}${note === null ? "" : NOTES[note]}`;
}

function moment({
  rev,
  lastModified,
}: {
  readonly rev: string | null;
  readonly lastModified: number | null;
}): string {
  // What has five digits of years was not written by Nix.
  const time = lastModified === null || lastModified > 253402300799 ? null : formatTime(lastModified);
  return [rev === null ? null : `rev ${rev}`, time].filter((part) => part !== null).join(", ");
}
