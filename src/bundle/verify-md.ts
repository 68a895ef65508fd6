/**
 * VERIFY.md, which every bundle holds: how to check it with stock tools, without this program. The commands are
 * those of the bundle's format version; a change of them is a change of the format. Tests run every block on real bundles.
 */
import type { BundleDocument } from "../generated/types.js";
import { hasEnvironment, hasManyKinds } from "./document-features.js";
import { VERIFY_1_0 } from "./verify-md-1.0.js";
import { VERIFY_1_1 } from "./verify-md-1.1.js";
import { VERIFY_1_2 } from "./verify-md-1.2.js";
import { COMMON_STEPS, type Step, type VersionedText } from "./verify-md-steps.js";

/** The text, a pure function of the document: it differs between bundles of one version only in its first lines. */
export function verifyMd(document: BundleDocument): string {
  const { product, release, sequence, systems, tier } = document;
  const { introduction, steps, coverage } = textFor(document);
  const head = [
    `# How to check ${product} ${release}`,
    `Sequence ${sequence}, tier ${tier}, for ${systems.join(", ")}.`,
  ];
  return `${[...head, introduction, ...[...steps, ...COMMON_STEPS].map(formatStep), coverage].join("\n\n")}\n`;
}

function formatStep({ heading, text, sh }: Step): string {
  return `## ${heading}\n\n${text}\n\n\`\`\`sh\n${sh.trim()}\n\`\`\``;
}

function textFor(document: BundleDocument): VersionedText {
  if (hasEnvironment(document)) return VERIFY_1_2;
  return hasManyKinds(document) ? VERIFY_1_1 : VERIFY_1_0;
}
