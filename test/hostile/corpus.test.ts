/** docs/attacks.md is the list of attacks that the tests beside this one let loose; `npx vitest -u` writes it anew. */
import { resolve } from "node:path";
import { expect, it } from "vitest";
import { DIRECTORY, TAR } from "./archive.js";
import type { Attack, DirectoryAttack, TarAttack } from "./attack.js";
import { BLOBS } from "./blobs.js";
import { CLOSURE } from "./closure.js";
import { NAMES } from "./names.js";
import { hostileNars } from "./nars.js";
import { TEXT } from "./text.js";
import { TRUST } from "./trust.js";

const HEAD = `# Attacks

Generated from test/hostile, where each is let loose on a packed bundle through the command line: \`verify\` refuses it with this
exit and these findings, \`restore\` begins nothing, and no file appears or changes anywhere. "Signed" means by the key
that the site trusts, with everything else made to fit. What the findings mean is in [findings.md](findings.md); what stock
Nix does with such bundles in the [README](../README.md).

`;

it("docs/attacks.md lists every attack with what comes of it", async () => {
  const rows = [...TRUST, ...TEXT, ...TAR, ...DIRECTORY, ...CLOSURE, ...NAMES, ...BLOBS].map(row);
  const nars = hostileNars.map(({ name, code }) => `| ${cell(name)} | \`${code}\` |`);
  const page = [
    HEAD + "| attack | form | exit | findings |\n|---|---|---|---|",
    ...rows,
    "\n## NARs\n\nSigned, in one bundle, which names each store path with its finding (exit 10).\n\n| NAR | finding |\n|---|---|",
    ...nars,
  ].join("\n");
  await expect(`${page}\n`).toMatchFileSnapshot(resolve(import.meta.dirname, "../../docs/attacks.md"));
});

function row({ name, threat, form, exit, codes }: Attack | DirectoryAttack | TarAttack): string {
  // The number is that of a list for those who write attacks.
  const kind = threat.replace(/^\d+ /, "");
  return `| ${cell(`${kind}: ${name}`)} | ${form} | ${exit} | ${codes.map((code) => `\`${code}\``).join(" ")} |`;
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|").replaceAll("<", "&lt;");
}
