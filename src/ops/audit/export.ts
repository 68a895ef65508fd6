/**
 * audit export: a site's whole audit log as one document, of a log that holds and no other. Reads the log once: what is
 * written is what was checked.
 */
import { type FileHandle, open } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { fail } from "../../errors.js";
import type { AuditExportReport } from "../../generated/types.js";
import {
  exists,
  partialName,
  publishFile,
  removePartials,
  removeTree,
  syncDirectory,
  withDiskErrors,
} from "../../host/files.js";
import { type AuditContext, type AuditSource, type CheckedLog, checkAudit } from "./check.js";
import { printerOf } from "./formats.js";

export interface AuditExportOptions extends AuditSource {
  readonly as: AuditExportReport["as"];
  /** The file; default: the report holds the text itself, up to MAX_CONTENT. */
  readonly out?: string;
}

/** Characters that are kept in memory where no file is asked for. */
export const MAX_CONTENT = 64 * 1024 * 1024;

/**
 * @throws AirgapError OUT_EXISTS, DISK, NO_SPACE, INTERRUPTED; USAGE where a log is too large for a report. What is wrong
 * with the log is in the report, and then nothing was written.
 */
export async function auditExport(
  options: AuditExportOptions,
  context: AuditContext,
): Promise<AuditExportReport> {
  if (options.out === undefined) {
    const sink = new TextSink();
    const checked = await exportTo(sink, options, context);
    return report(options, checked, { out: null, content: sink.text });
  }
  const out = resolve(context.cwd, options.out);
  const checked = await exportToFile(out, options, context);
  return report(options, checked, { out, content: null });
}

function report(
  { as }: AuditExportOptions,
  { firstAt: _first, lastAt: _last, ...checked }: CheckedLog,
  made: Pick<AuditExportReport, "out" | "content">,
): AuditExportReport {
  const nothing = { out: null, content: null };
  return {
    format: "nix-airgap-audit-export",
    as,
    ...checked,
    ...(checked.findings.length === 0 ? made : nothing),
  };
}

/** Takes the document piece by piece; `flush` when there is no more. */
interface Sink {
  write(text: string): void | Promise<void>;
  flush(): void | Promise<void>;
}

async function exportTo(sink: Sink, options: AuditExportOptions, context: AuditContext): Promise<CheckedLog> {
  const printer = printerOf(options.as);
  await sink.write(printer.begin());
  const checked = await checkAudit(options, context, (entry) => sink.write(printer.entry(entry)));
  await sink.write(printer.end(checked.head));
  await sink.flush();
  return checked;
}

async function exportToFile(
  out: string,
  options: AuditExportOptions,
  context: AuditContext,
): Promise<CheckedLog> {
  if (await exists(out)) fail("OUT_EXISTS", { subject: out });
  await removePartials(out);
  const partial = partialName(out);
  try {
    const checked = await writeNew(partial, out, (sink) => exportTo(sink, options, context));
    if (checked.findings.length === 0) {
      await publishFile(partial, out);
      await syncDirectory(dirname(out));
    }
    return checked;
  } finally {
    await removeTree(partial);
  }
}

/** `out` is what errors name. Names of people and machines are in it. */
async function writeNew<T>(path: string, out: string, write: (sink: Sink) => Promise<T>): Promise<T> {
  const file = await withDiskErrors(out, () => open(path, "wx", 0o640));
  try {
    const result = await write(new FileSink(file, out));
    await withDiskErrors(out, () => file.sync());
    return result;
  } finally {
    await file.close();
  }
}

class TextSink implements Sink {
  text = "";

  write(text: string): void {
    this.text += text;
    if (this.text.length <= MAX_CONTENT) return;
    fail("USAGE", {
      subject: "the audit log",
      expected: `at most ${MAX_CONTENT} characters without --out`,
      hint: "Give --out with a file to write it to.",
    });
  }

  flush(): void {}
}

const BUFFERED = 256 * 1024;

class FileSink implements Sink {
  readonly #file: FileHandle;
  readonly #out: string;
  #held = "";

  constructor(file: FileHandle, out: string) {
    this.#file = file;
    this.#out = out;
  }

  async write(text: string): Promise<void> {
    this.#held += text;
    if (this.#held.length >= BUFFERED) await this.flush();
  }

  async flush(): Promise<void> {
    const text = this.#held;
    this.#held = "";
    await withDiskErrors(this.#out, () => this.#file.writeFile(text));
  }
}
