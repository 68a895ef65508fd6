// Generates src/generated: types and standalone validators from schemas/, the wasm of zstd from zstddec, the version.
// Standalone validators start in 2 ms where compiling schemas at run time takes 50.
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { Ajv2020 } from "ajv/dist/2020.js";
import standaloneCode from "ajv/dist/standalone/index.js";
import { compile } from "json-schema-to-typescript";

const root = new URL("../", import.meta.url);
const out = new URL("src/generated/", root);
await mkdir(out, { recursive: true });

const files = (await readdir(new URL("schemas/", root))).filter((f) => f.endsWith(".schema.json")).sort();
const schemas = await Promise.all(
  files.map(async (f) => JSON.parse(await readFile(new URL(`schemas/${f}`, root), "utf8"))),
);

const ajv = new Ajv2020({
  code: { source: true, esm: true, lines: true },
  allErrors: false,
  strict: true,
  schemas,
});
// What the program reads, and apart from it what it prints: only tests check that, and a megabyte more to compile
// would be felt at every start.
const isReport = (schema) => schema.$id.includes("-report:");
await writeValidators("validators", (schema) => !isReport(schema));
await writeValidators("report-validators", isReport);

async function writeValidators(name, wanted) {
  const chosen = schemas.filter(wanted);
  const exports = Object.fromEntries(chosen.map((s) => [`validate${s.title}`, s.$id]));
  const validators = standaloneCode.default(ajv, exports);
  // ajv emits require() for its one run-time helper even in ESM; turn it into an import. What the import of a
  // CommonJS module's default is differs between Node and vitest.
  const esm = validators.replace(
    /const (\w+) = require\("([^"]+)"\)\.default;/g,
    (_, name, module) => `import ${name}$ from "${module}.js"; const ${name} = ${name}$.default ?? ${name}$;`,
  );
  if (/\brequire\(/.test(esm)) throw new Error("the generated validators still use require()");
  await writeFile(new URL(`${name}.js`, out), `// Generated from schemas/ by scripts/generate.mjs\n${esm}`);
  await writeFile(
    new URL(`${name}.d.ts`, out),
    [
      "// Generated from schemas/ by scripts/generate.mjs",
      'import type { ValidateFunction } from "ajv";',
      ...chosen.map((s) => `import type { ${s.title} } from "./types.js";`),
      ...chosen.map((s) => `export declare const validate${s.title}: ValidateFunction<${s.title}>;`),
      "",
    ].join("\n"),
  );
}

const types = [];
const seen = new Set();
for (const schema of schemas) {
  const text = await compile(schema, schema.title, {
    bannerComment: "",
    additionalProperties: false,
    format: false,
    maxItems: -1,
    ignoreMinAndMaxItems: true,
  });
  // Shared definitions (tier, storePath, …) are generated once; the first schema that has them wins.
  for (const block of text.split(/(?=^(?:\/\*\*(?:(?!\*\/)[\s\S])*\*\/\s*)?export (?:type|interface) )/m)) {
    const name = /export (?:type|interface) (\w+)/.exec(block)?.[1];
    if (name && !seen.has(name)) types.push(block.trimEnd());
    if (name) seen.add(name);
  }
}
await writeFile(
  new URL("types.ts", out),
  `// Generated from schemas/ by scripts/generate.mjs\n${types.join("\n\n")}\n`,
);

// The decoder of zstddec's package wants whole inputs and never ends on corrupt ones; only its wasm is used.
const zstddec = fileURLToPath(
  new URL("zstddec-stream.mjs", `file://${createRequire(import.meta.url).resolve("zstddec/stream")}`),
);
const base64 = /^const wasm = "([A-Za-z0-9+/=]+)";$/m.exec(await readFile(zstddec, "utf8"))?.[1];
if (!base64) throw new Error("zstddec does not hold its wasm where 0.3.4 does");
await writeFile(
  new URL("zstd-wasm.ts", out),
  `// zstd compiled to wasm, taken from zstddec (MIT, BSD-3-Clause) by scripts/generate.mjs\nexport const ZSTD_WASM_BASE64: string =\n  "${base64}";\n`,
);

const { version } = JSON.parse(await readFile(new URL("package.json", root), "utf8"));
await writeFile(
  new URL("version.ts", out),
  `// Generated from package.json by scripts/generate.mjs\nexport const VERSION = ${JSON.stringify(version)};\n`,
);
