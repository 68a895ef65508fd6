/** A bundle that was cut into parts, or made whole again, for people. */
import type { PartsReport } from "../../generated/types.js";
import { renderFindings } from "./findings.js";
import { counted, formatBytes, type Line, table, type View } from "./text.js";

/** A folder with more is looked into. */
const MAX_SHOWN = 50;

export function renderParts(
  { verdict, bundle, out, parts, findings, exit }: PartsReport,
  view: View,
): Line[] {
  if (verdict === "refused" || bundle === null) {
    return [
      {
        text: `REFUSED: ${counted(findings.length, "finding")} (exit ${exit}): nothing was written`,
        style: "bad",
      },
      ...renderFindings(findings, view),
    ];
  }
  const what = `${bundle.product} ${bundle.release}`;
  const title =
    verdict === "split"
      ? `SPLIT ${what} into ${counted(parts.length, "part")}`
      : `JOINED ${what} of ${counted(parts.length, "part")}`;
  return [
    { text: title, style: "good" },
    "",
    ...table([
      ["out", out ?? ""],
      ["bundle id", bundle.sha256],
      ["tar", `${formatBytes(bundle.tarBytes)} (${bundle.tarBytes} bytes)`],
    ]),
    "",
    ...(verdict === "split"
      ? partLines(parts)
      : ["Nobody was asked who approved it: nix-airgap verify does."]),
  ];
}

function partLines(parts: PartsReport["parts"]): Line[] {
  const shown = parts
    .slice(0, MAX_SHOWN)
    .map(({ name, size, sha256 }) => [`  ${name}`, formatBytes(size), sha256]);
  const more = parts.length - shown.length;
  return [
    "parts:",
    ...table(shown),
    ...(more > 0 ? [`  … and ${counted(more, "more part")}`] : []),
    "",
    "The two small files beside them (.parts.json, .sha256) belong on every medium.",
  ];
}
