/** Bytes from where they lie to where they shall go. */
import { fail } from "../errors.js";
import type { Report } from "../events.js";
import type { FilePart } from "../segments.js";
import { piecesOf } from "./pieces.js";
import type { TarOut } from "./tar-out.js";

const COPY_SIZE = 1024 * 1024;
/** Bytes between two reports of progress. */
const PROGRESS_STEP = 16 * COPY_SIZE;

/**
 * Copies all of `file` as it is, in the phase `copy`; `onPiece` hears each piece after it was taken. Does not end `out`.
 * Throws BLOB_SIZE where the file became shorter, FILE_TYPE, DISK, NO_SPACE, INTERRUPTED.
 */
export async function copyBytes(
  file: FilePart,
  out: TarOut,
  about: {
    readonly name: string;
    readonly report: Report;
    readonly signal: AbortSignal;
    readonly onPiece?: (piece: Buffer) => void;
  },
): Promise<void> {
  const { name, report, signal, onPiece = () => {} } = about;
  report({ type: "phase.started", phase: "copy", bytes: file.size });
  let done = 0;
  let reported = 0;
  for await (const piece of piecesOf(file, name, Buffer.allocUnsafe(COPY_SIZE))) {
    if (signal.aborted) fail("INTERRUPTED", { subject: name });
    await out.take(piece);
    onPiece(piece);
    done += piece.length;
    if (done - reported < PROGRESS_STEP) continue;
    reported = done;
    report({ type: "phase.progress", phase: "copy", items: 0, bytes: done, share: done / file.size });
  }
  if (done !== file.size) {
    fail("BLOB_SIZE", { subject: name, expected: `${file.size} bytes`, actual: `${done} bytes` });
  }
  report({ type: "phase.finished", phase: "copy" });
}
