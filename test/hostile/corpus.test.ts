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
exit and these findings, \`restore\` begins nothing, and no file appears or changes anywhere. What the findings mean is in
[findings.md](findings.md); what stock Nix does with such bundles in the [README](../README.md).
`;

type AnyAttack = Attack | DirectoryAttack | TarAttack;

const SECTIONS: readonly (readonly [title: string, list: readonly AnyAttack[]])[] = [
  ["Approvals, and the document that they are for", TRUST],
  ["What is read as text", TEXT],
  ["The container", [...TAR, ...DIRECTORY]],
  ["The closure, signed by the key that the site trusts, all else made to fit", CLOSURE],
  ["Names, signed by the key that the site trusts, all else made to fit", NAMES],
  ["Blobs: by bad media, or signed by the key that the site trusts", BLOBS],
];

it("docs/attacks.md lists every attack with what comes of it", async () => {
  const sections = SECTIONS.map(([title, list]) =>
    table(title, ["attack", "form", "exit", "findings"], list.map(row)),
  );
  const nars = hostileNars.map(({ name, code }) => [name, `\`${code}\``]);
  const page = [
    HEAD,
    ...sections,
    table("NARs, signed, all in one bundle (exit 10)", ["NAR", "finding"], nars),
  ];
  await expect(page.join("\n")).toMatchFileSnapshot(resolve(import.meta.dirname, "../../docs/attacks.md"));
});

function table(title: string, columns: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [columns, columns.map(() => "---"), ...rows].map(
    (cells) => `| ${cells.map(cell).join(" | ")} |\n`,
  );
  return `## ${title}\n\n${lines.join("")}`;
}

function row({ name, threat, form, exit, codes }: AnyAttack): string[] {
  // The number is that of a list for those who write attacks.
  const kind = threat.replace(/^\d+ /, "");
  return [`${kind}: ${name}`, form, String(exit), codes.map((code) => `\`${code}\``).join(" ")];
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|").replaceAll("<", "&lt;");
}
