// What tsc leaves undone in dist/: it does not copy JavaScript or declarations, sets no modes, and keeps the output
// of sources that are gone.
import { existsSync } from "node:fs";
import { chmod, copyFile, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../", import.meta.url));

for (const name of ["validators.js", "validators.d.ts"]) {
  await copyFile(join(root, "src/generated", name), join(root, "dist/generated", name));
}
for (const name of await readdir(join(root, "dist"), { recursive: true })) {
  const source = /^(?!release\/)(.+?)(\.d\.ts|\.js)$/.exec(name);
  if (source === null || existsSync(join(root, "src", name))) continue;
  if (!existsSync(join(root, "src", `${source[1]}.ts`))) await rm(join(root, "dist", name));
}
await chmod(join(root, "dist/cli/main.js"), 0o755);
