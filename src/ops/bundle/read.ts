/** A bundle as far as it takes to write it in another form: the document believed, every file that it gives there. */
import { contentsOf } from "../../bundle/contents.js";
import { parseDocument } from "../../bundle/document.js";
import { checkPresence, checkUnlisted } from "../../bundle/inventory.js";
import { DOCUMENT_NAME, MAX_DOCUMENT_SIZE } from "../../bundle/layout.js";
import { type Medium, openMedium } from "../../bundle/medium.js";
import { readApprovals } from "../../bundle/set-approvals.js";
import type { Finding } from "../../errors.js";
import { type BundleParts, namedFiles } from "./sources.js";

export type ReadBundle = { readonly medium: Medium; readonly findings: readonly Finding[] } & (
  | { readonly parts: BundleParts }
  | { readonly parts: null }
);

/** @throws AirgapError BUNDLE_NOT_FOUND, and what `openMedium` throws; DISK. What is wrong with the bundle is in the findings. */
export async function readBundle(path: string, folders: readonly string[]): Promise<ReadBundle> {
  const { medium, findings } = await openMedium(path, { allowExtra: false, parts: folders });
  const refused = (more: readonly Finding[]) => ({ medium, parts: null, findings: [...findings, ...more] });
  if (findings.length > 0) return refused([]);
  if (!medium.files.has(DOCUMENT_NAME))
    return refused([{ code: "DOCUMENT_MISSING", subject: DOCUMENT_NAME }]);
  const documentBytes = await medium.read(DOCUMENT_NAME, MAX_DOCUMENT_SIZE);
  const { document, findings: malformed } = parseDocument(documentBytes);
  if (document === null) return refused(malformed);
  const parts = { document, documentBytes, approvals: await readApprovals(medium) };
  const absent = checkPresence(
    medium,
    namedFiles(parts).map(({ name, size }) => [name, size]),
  );
  const unlisted = checkUnlisted(medium, contentsOf(document, documentBytes, parts.approvals));
  const wrong = [...absent.values(), ...unlisted];
  return wrong.length > 0 ? refused(wrong) : { medium, parts, findings: [] };
}
