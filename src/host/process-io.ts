/** How much a process that runs has read and written: Linux counts it, also for one that says nothing of its progress. */
import { readFileSync } from "node:fs";

export interface ProcessIo {
  /** Bytes, of files, pipes and sockets alike. */
  readonly read: number;
  readonly written: number;
}

const POLL_MS = 500;

/** Calls `onIo` now and then until the returned function is called. Where the system does not tell, never. */
export function watchIo(pid: number, onIo: (io: ProcessIo) => void): () => void {
  const timer = setInterval(() => {
    const io = readIo(pid);
    if (io !== null) onIo(io);
  }, POLL_MS);
  return () => clearInterval(timer);
}

/** Null where the process has ended, or may not be asked. */
function readIo(pid: number): ProcessIo | null {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/io`, "utf8");
  } catch {
    return null; // only a forecast depends on it
  }
  const read = /^rchar: (\d+)$/m.exec(text);
  const written = /^wchar: (\d+)$/m.exec(text);
  return read && written ? { read: Number(read[1]), written: Number(written[1]) } : null;
}
