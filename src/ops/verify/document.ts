/** What a document says of itself, without any file that it names: closure, addresses, pins. */
import { checkClosure } from "../../bundle/closure.js";
import { checkAddresses } from "../../bundle/names.js";
import { PackedDerivations } from "../../bundle/packed.js";
import { checkPins } from "../../bundle/pins.js";
import type { Finding } from "../../errors.js";
import type { BundleDocument } from "../../generated/types.js";

export function checkDocument(document: BundleDocument): Finding[] {
  return [
    ...checkClosure(document, new PackedDerivations(new Map())).findings,
    ...checkAddresses(document).findings,
    ...checkPins(document),
  ];
}
