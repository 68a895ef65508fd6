/** Makes a whole file system's data survive a power cut at once. */
import { run } from "./exec.js";

const SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin:/run/current-system/sw/bin";

/**
 * syncfs(2) on the file system that holds `path`, by coreutils' `sync`: 20,000 calls of fsync(2) take minutes on a slow
 * disk. False where that is not there, or says no: then each file is for the caller to sync.
 */
export async function syncFileSystem(path: string, signal: AbortSignal): Promise<boolean> {
  try {
    const options = { env: { PATH: SYSTEM_PATH, LC_ALL: "C" }, cwd: "/", signal };
    return (await run(["sync", "--file-system", path], options)).code === 0;
  } catch {
    // INTERRUPTED comes up again with the next thing that is done.
    return false;
  }
}
