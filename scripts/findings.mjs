// Writes docs/findings.md from the registry of codes in src/errors.ts, so that the two cannot differ (a test compares).
// Run after a build: node scripts/findings.mjs
import { writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

/** The page: a table of codes by exit code, in the order of the registry. */
export function findingsPage(codes) {
  const exits = [
    [12, "trust"],
    [10, "malformed"],
    [11, "integrity"],
    [13, "incomplete"],
    [1, "they differ"],
    [2, "usage"],
    [20, "Nix"],
    [21, "transport"],
    [22, "disk or permission"],
    [130, "interrupted"],
  ];
  const sections = exits.map(([exit, name]) => {
    const rows = Object.entries(codes)
      .filter(([, info]) => info.exit === exit)
      .map(([code, { explain, advice }]) => `| \`${code}\` | ${explain} | ${advice} |`);
    return [`## Exit ${exit}: ${name}`, "", "| code | meaning | what to do |", "|---|---|---|", ...rows].join(
      "\n",
    );
  });
  const missing = Object.entries(codes).filter(([, info]) => !exits.some(([exit]) => exit === info.exit));
  if (missing.length > 0) throw new Error(`no section for ${missing.map(([code]) => code)}`);
  return `# Findings and errors\n\nGenerated from src/errors.ts by scripts/findings.mjs. Which step of verification gives which finding is in
[format.md](format.md), section 10.\n\n${sections.join("\n\n")}\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { CODES } = await import(new URL("../dist/errors.js", import.meta.url));
  await writeFile(new URL("../docs/findings.md", import.meta.url), findingsPage(CODES));
}
