/** A person on the command line, as git writes one: `Printed Name <id>`. */
import type { SignerIdentity } from "../generated/types.js";
import { UsageError } from "./command.js";

export const signerOption = {
  kind: "text",
  describe: "WHO  signs, as 'Printed Name <id>'; default: whom --policy has for the key",
} as const;

/** @throws UsageError */
export function parseSigner(text: string, verb: string): SignerIdentity {
  const [, name, id] = /^([^<>]{1,128}?)\s*<([A-Za-z0-9][A-Za-z0-9._@+-]{0,127})>$/.exec(text) ?? [];
  if (name === undefined || id === undefined || name.trim() === "") {
    throw new UsageError(`--signer takes 'Printed Name <id>', not "${text}"`, verb);
  }
  return { name: name.trim(), id };
}
