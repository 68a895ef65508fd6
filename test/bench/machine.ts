/** Where it was measured. */
import { readFileSync, realpathSync } from "node:fs";
import { cpus, loadavg, release, totalmem } from "node:os";

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGB: number;
  readonly kernel: string;
  /** Of the work folder. */
  readonly fileSystem: string;
  /** At the start, of the last minute: who else was at work. */
  readonly load: number;
}

export function machineOf(dir: string): Machine {
  return {
    cpu: cpuModel(),
    cores: cpus().length,
    memoryGB: Math.round(totalmem() / 1e9),
    kernel: `Linux ${release()}`,
    fileSystem: fileSystemOf(realpathSync(dir)),
    load: loadavg()[0]!,
  };
}

function cpuModel(): string {
  const model = cpus()[0]?.model.trim();
  if (model) return model;
  const text = readFileSync("/proc/cpuinfo", "utf8");
  return /^(?:model name|CPU part)\s*:\s*(.+)$/m.exec(text)?.[1] ?? "unknown";
}

/** The type of the mount that holds it: the longest that it lies under, the last of equals. */
function fileSystemOf(path: string): string {
  const mounts = readFileSync("/proc/mounts", "utf8").trim().split("\n");
  let best = { place: "", type: "unknown" };
  for (const mount of mounts) {
    const [, place = "", type = ""] = mount.split(" ");
    const holds = `${path}/`.startsWith(place.endsWith("/") ? place : `${place}/`);
    if (holds && place.length >= best.place.length) best = { place, type };
  }
  return best.type;
}
