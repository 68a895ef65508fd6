/** A log to which lines are added, each by one write; whoever rotates it copies and truncates. */
import { closeSync, constants, fstatSync, openSync, writeSync } from "node:fs";
import { AirgapError } from "../errors.js";
import { asDiskError } from "./files.js";

export interface LineLog {
  /** @throws AirgapError DISK; NO_SPACE, also where only a part of the line was written */
  write(line: string): void;
  close(): void;
}

/** Made where it is missing, for its owner and group. @throws AirgapError DISK, also for what is no regular file */
export function openLineLog(path: string): LineLog {
  const { O_APPEND, O_CREAT, O_NONBLOCK, O_WRONLY } = constants;
  const onDisk = <T>(action: () => T): T => {
    try {
      return action();
    } catch (error) {
      throw asDiskError(error, path);
    }
  };
  const file = onDisk(() => openSync(path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK, 0o640));
  if (!fstatSync(file).isFile()) {
    closeSync(file);
    throw new AirgapError("DISK", { subject: path, actual: "not a regular file" });
  }
  return {
    write(line) {
      const bytes = Buffer.from(`${line}\n`);
      const written = onDisk(() => writeSync(file, bytes));
      if (written < bytes.length) throw new AirgapError("NO_SPACE", { subject: path });
    },
    close: () => closeSync(file),
  };
}
