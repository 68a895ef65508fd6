/** The page of `serve` for people: what this is, who approved it, and how a machine uses it. Pure; nothing in it runs. */
import { createHash } from "node:crypto";
import type { BundleDocument, ServeReport } from "../../generated/types.js";
import { VERSION } from "../../generated/version.js";
import type { CheckedApproval } from "../../trust/approval.js";
import { saysSigner } from "../../trust/statement.js";

export interface PageFacts {
  /** Where machines of the site reach it. */
  readonly url: string;
  readonly key: NonNullable<ServeReport["key"]>;
  readonly document: BundleDocument;
  readonly documentSha256: string;
  readonly approvals: readonly CheckedApproval[];
  readonly since: string;
}

const STYLE =
  "body{font:16px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222;background:#fff}" +
  "pre,code{font:14px/1.5 monospace}pre{background:#f2f2f2;padding:.7em;overflow-x:auto}" +
  "table{border-collapse:collapse}th,td{text-align:left;vertical-align:top;padding:.15em 1em .15em 0}" +
  "th{font-weight:normal;color:#666}.loud{border-left:.3em solid #c60;padding-left:.7em}";

const STYLE_HASH = createHash("sha256").update(STYLE).digest("base64");

export const PAGE_HEADERS = {
  "Content-Security-Policy": `default-src 'none'; style-src 'sha256-${STYLE_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
  "Referrer-Policy": "no-referrer",
  "Cache-Control": "no-cache",
} as const;

export function page({ url, key, document, documentSha256, approvals, since }: PageFacts): string {
  const { product, release, sequence, created, tier, systems, totals } = document;
  const title = `${product} ${release}`;
  const roots = document.roots.filter(({ purpose }) => purpose === "output");
  const first = roots.flatMap(({ outputs }) => outputs.map(({ path }) => path))[0] ?? "";
  return [
    "<!DOCTYPE html>",
    `<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">`,
    `<title>${escaped(title)}</title><style>${STYLE}</style></head><body>`,
    `<h1>${escaped(title)}</h1>`,
    "<p>This is a read-only Nix binary cache of one release, from a bundle that was verified before this server began. ",
    "It gives out nothing else, and takes nothing.</p>",
    table([
      ["product", product],
      ["release", `${release}, sequence ${sequence}, of ${created}`],
      ["bundle id", documentSha256],
      ["holds", `${totals.paths} store paths for ${systems.join(", ")}, tier ${tier}`],
      ["served since", `${since}, by nix-airgap ${VERSION}`],
    ]),
    "<h2>Who approved it</h2>",
    table(approvals.flatMap((approval) => (approval.state === "valid" ? [approvalRow(approval)] : []))),
    "<h2>With a gate, policy and receipt of the machine's own</h2>",
    pre(`nix-airgap restore ${url}`),
    "<p>The machine verifies all of it again, and trusts this server in nothing.</p>",
    "<h2>With Nix alone</h2>",
    "<p>In <code>/etc/nix/nix.conf</code>:</p>",
    pre(`substituters = ${url}\ntrusted-public-keys = ${key.publicKey}\nrequire-sigs = true`),
    ...(key.from === "run"
      ? [
          `<p class="loud">This key was made for this run of the server: after a restart it is another one. `,
          "A site that serves for long keeps a key: <code>nix-airgap trust import-key init</code>.</p>",
        ]
      : []),
    "<p>Compare the key with the one that the server printed, or that the site keeps on paper: a page can be forged. ",
    "Then, or without these lines as a user whom Nix trusts:</p>",
    pre(
      `nix-store --realise ${first}\nnix copy --from ${url} --option trusted-public-keys '${key.publicKey}' ${first}`,
    ),
    "<h2>What there is</h2>",
    table(roots.flatMap(({ attr, outputs }) => outputs.map(({ name, path }) => [`${attr} ${name}`, path]))),
    `<p><a href="/health">health</a>, <a href="/files.json">files of the bundle</a>, <a href="/bundle/VERIFY.md">how to verify it without this program</a></p>`,
    "</body></html>",
    "",
  ].join("\n");
}

function approvalRow({ role, statement }: Extract<CheckedApproval, { state: "valid" }>): [string, string] {
  const { predicate } = statement;
  const meaning = "meaning" in predicate ? `: ${predicate.meaning}` : "";
  return [role, `${saysSigner(statement)}, ${predicate.decision} ${predicate.signedAt}${meaning}`];
}

function table(rows: readonly (readonly string[])[]): string {
  const cells = rows.map(([head = "", text = ""]) => {
    return `<tr><th>${escaped(head)}</th><td>${escaped(text)}</td></tr>`;
  });
  return `<table>${cells.join("\n")}</table>`;
}

function pre(text: string): string {
  return `<pre>${escaped(text)}</pre>`;
}

const ESCAPES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (char) => ESCAPES[char] ?? "");
}
