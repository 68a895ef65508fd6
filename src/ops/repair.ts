/**
 * repair: one good bundle out of several damaged copies of it. Which document they are copies of, somebody trusted says; each
 * file that it names is taken from whichever medium has it unharmed, and all others are made anew.
 */
import { mkdir } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { FileOut } from "../bundle/tar-out.js";
import { copyNamed, finishDirectory, sizeOfTar, writeSources } from "../bundle/write.js";
import { EXIT, type Finding } from "../errors.js";
import type { RepairReport, VerifyReport } from "../generated/types.js";
import { WorkerPool } from "../host/pool.js";
import { syncFileSystem } from "../host/sync.js";
import { writeNew } from "./bundle/new-place.js";
import { namedFiles, sourcesOf } from "./bundle/sources.js";
import type { Context } from "./context.js";
import { requireFitsFat, warnOfFat } from "./fat.js";
import { type Choice, chooseCopies } from "./repair/choose.js";
import { type Authenticated, authenticateCopies, type Copy, openCopies } from "./repair/media.js";
import { verifyFindings } from "./reports.js";
import type { Trust } from "./verify/trust.js";
import { verifyToBundle } from "./verify.js";

export interface RepairOptions {
  readonly trust: Exclude<Trust, { by: "nobody" }>;
  /** Other copies of the bundle, in the order in which they are asked. */
  readonly from: readonly string[];
  /** A directory to make, or a file that ends in `.tar`. */
  readonly out: string;
  /** Folders that hold parts, for those copies that are in parts. */
  readonly parts?: readonly string[];
}

/** Names of bad files that a report has for each medium. */
const MAX_NAMED = 1000;

/**
 * @throws AirgapError OUT_EXISTS, BUNDLE_NOT_FOUND, MEDIA_DIFFER, and what `openMedium` throws; DISK, NO_SPACE, INTERRUPTED. What no
 * medium has, or does not hold, is in the report, and then nothing was written.
 */
export async function repair(
  bundlePath: string,
  options: RepairOptions,
  context: Context,
): Promise<RepairReport> {
  const { trust, from, parts = [] } = options;
  const copies = await openCopies([bundlePath, ...from], parts, context);
  const { authenticated, log } = await authenticateCopies(copies, trust);
  if (authenticated === null) return refused(copies, log.report("verified"));

  const choice = await choose(copies, authenticated, context);
  log.find(
    "V8",
    choice.lost.flatMap((file) => lostFindings(file, authenticated)),
  );
  if (choice.lost.length > 0) return refused(copies, log.report("verified"), { authenticated, choice });

  const out = resolve(context.cwd, options.out);
  const isTar = out.endsWith(".tar");
  const sources = sourcesOf(authenticated, ({ sha256 }) => choice.good.get(sha256)!.place);
  const bytes = sizeOfTar(sources);
  await requireFitsFat(dirname(out), isTar ? bytes : largest(authenticated));
  if (!isTar) await warnOfFat(dirname(out), authenticated.document.totals.blobs, context);
  const refusals: VerifyReport[] = [];
  await writeNew({ path: out, kind: isTar ? "file" : "folder", bytes }, async (partial) => {
    if (isTar) await writeSources(sources, await FileOut.open(partial), context);
    else await writeDirectory(partial, authenticated, choice, context);
    const asked = { trust, documentOnly: false, allowExtra: false };
    const { report: verification } = await verifyToBundle(partial, asked, context);
    if (verification.exit === EXIT.yes) return partial;
    refusals.push(verification);
    return null;
  });
  const [refusal] = refusals;
  if (refusal !== undefined) return refused(copies, refusal, { authenticated, choice });
  return report(
    copies,
    { authenticated, choice },
    {
      verdict: "repaired",
      exit: EXIT.yes,
      out: { path: out, kind: isTar ? "tar" : "directory" },
    },
  );
}

async function choose(
  copies: readonly Copy[],
  authenticated: Authenticated,
  context: Context,
): Promise<Choice> {
  const pool = new WorkerPool(context);
  try {
    return await chooseCopies(copies, authenticated, pool, context);
  } finally {
    await pool.close();
  }
}

/** One finding for each store path of a blob that is lost, or for the document. */
function lostFindings(
  { name, sha256, size, isPresent }: Choice["lost"][number],
  { document }: Authenticated,
): Finding[] {
  const paths = document.paths.filter(({ blob }) => blob === sha256).map(({ storePath }) => storePath);
  const about = isPresent
    ? { code: "BLOB_HASH" as const, expected: sha256, actual: "other bytes on every medium" }
    : { code: "BLOB_MISSING" as const, expected: `${name}, ${size} bytes`, actual: "nothing on any medium" };
  return (paths.length > 0 ? paths : [name]).map((subject) => ({
    ...about,
    subject,
    hint: "Look for another copy of the bundle, and give it as one more --from; else ask whoever sent it for this one file.",
  }));
}

async function writeDirectory(
  dir: string,
  authenticated: Authenticated,
  { good }: Choice,
  context: Context,
): Promise<void> {
  for (const folder of ["blobs/sha256", "docs"]) await mkdir(join(dir, folder), { recursive: true });
  await copyNamed(
    dir,
    namedFiles(authenticated).map((file) => ({ ...file, place: good.get(file.sha256)!.place })),
    context,
  );
  const { document, approvals } = authenticated;
  await finishDirectory(dir, document, approvals, (path) => syncFileSystem(path, context.signal));
}

function largest({ document }: Authenticated): number {
  return document.paths.reduce((most, { blobSize }) => Math.max(most, blobSize), 0);
}

interface Known {
  readonly authenticated: Authenticated;
  readonly choice: Choice;
}

function refused(
  copies: readonly Copy[],
  verification: VerifyReport,
  known: Known | null = null,
): RepairReport {
  return report(copies, known, {
    verdict: "refused",
    exit: verification.exit,
    findings: verifyFindings(verification),
  });
}

function report(copies: readonly Copy[], known: Known | null, rest: Partial<RepairReport>): RepairReport {
  const sha256 = known?.authenticated.sha256 ?? null;
  const taken = [...(known?.choice.good.values() ?? [])];
  const document = known?.authenticated.document;
  return {
    ...{ format: "nix-airgap-repair", verdict: "refused", exit: EXIT.yes, out: null, findings: [] },
    bundle:
      document === undefined || sha256 === null
        ? null
        : {
            product: document.product,
            release: document.release,
            sequence: document.sequence,
            sha256,
            systems: document.systems,
            tier: document.tier,
          },
    media: copies.map(({ medium, documentSha256 }, at) => {
      const bad = known?.choice.bad[at] ?? [];
      return {
        path: medium.path,
        kind: medium.kind,
        document: sha256 === null ? "unknown" : documentSha256 === sha256 ? "same" : "damaged",
        taken: taken.filter(({ copy }) => copy === at).length,
        bad: bad.slice(0, MAX_NAMED),
        badCount: bad.length,
      };
    }),
    ...rest,
  };
}
