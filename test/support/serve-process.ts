/** `serve` as its users run it: the one-file release in a process of its own, stopped by a signal. */
import { spawn } from "node:child_process";
import type { ServeReport } from "../../src/generated/types.js";
import { RELEASE } from "./cli.js";
import { peakOf } from "./measure.js";

export interface ServeProcess {
  readonly url: string;
  readonly publicKey: string;
  /** KiB of memory at the most, so far. */
  peak(): number;
  /** By SIGTERM, or another. */
  stop(signal?: NodeJS.Signals): Promise<{ readonly code: number | null; readonly json: ServeReport }>;
}

/** On a free port of loopback, unless told otherwise. @throws Error with what it says, where it ends at once */
export function startServe(
  args: readonly string[],
  {
    node = process.execPath,
    env = process.env,
  }: { readonly node?: string; readonly env?: NodeJS.ProcessEnv } = {},
): Promise<ServeProcess> {
  const listen = args.includes("--listen") ? [] : ["--listen", "127.0.0.1:0"];
  const child = spawn(node, [RELEASE, "serve", ...args, ...listen, "--json"], {
    env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const kill = () => child.kill("SIGKILL");
  process.once("exit", kill);
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk) => {
    stdout += chunk;
  });
  const closed = new Promise<number | null>((resolve) => child.once("close", resolve));
  void closed.then(() => process.off("exit", kill));
  return new Promise((resolve, reject) => {
    void closed.then((code) => reject(new Error(`serve: exit ${code}: ${stderr}\n${stdout}`)));
    child.stderr.on("data", (chunk) => {
      // The access log is not for here.
      if (stderr.length < 100_000) stderr += chunk;
      const [, url] = / at (http:\S+)/.exec(stderr) ?? [];
      const [, publicKey] = /trusted-public-keys = (\S+)\n/.exec(stderr) ?? [];
      if (url === undefined || publicKey === undefined) return;
      resolve({
        url,
        publicKey,
        peak: () => peakOf(child.pid!),
        async stop(signal = "SIGTERM") {
          child.kill(signal);
          return { code: await closed, json: JSON.parse(stdout) as ServeReport };
        },
      });
    });
  });
}
