/** Many clients at a time, each with a connection of its own, that fetch files as fast as they come and look at what they got. */
import { createHash } from "node:crypto";
import { Agent, request } from "node:http";
import { Random } from "./random.js";

export interface WantedPath {
  readonly path: string;
  /** Hex; null where any bytes are right. */
  readonly sha256: string | null;
}

export interface Load {
  readonly requests: number;
  readonly bytes: number;
  /** What went wrong, each once. */
  readonly errors: readonly string[];
}

export async function loadServer(
  url: string,
  wanted: readonly WantedPath[],
  { clients, seconds }: { readonly clients: number; readonly seconds: number },
): Promise<Load> {
  const until = performance.now() + seconds * 1000;
  const sum = { requests: 0, bytes: 0 };
  const errors = new Set<string>();
  const client = async (seed: number): Promise<void> => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const random = new Random(seed);
    while (performance.now() < until) {
      const { path, sha256 } = random.pick(wanted);
      try {
        const got = await fetchHashed(new URL(path, url), agent);
        if (got.status !== 200) errors.add(`${path}: ${got.status}`);
        else if (sha256 !== null && got.sha256 !== sha256) errors.add(`${path}: ${got.sha256}`);
        sum.requests += 1;
        sum.bytes += got.bytes;
      } catch (error) {
        errors.add(`${path}: ${error instanceof Error ? error.message : error}`);
      }
    }
    agent.destroy();
  };
  await Promise.all(Array.from({ length: clients }, (_, i) => client(i)));
  return { ...sum, errors: [...errors] };
}

/** The body is not kept. */
function fetchHashed(url: URL, agent: Agent): Promise<{ status: number; sha256: string; bytes: number }> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { agent, timeout: 60_000 }, (response) => {
      const hasher = createHash("sha256");
      let bytes = 0;
      response.on("data", (chunk: Buffer) => {
        hasher.update(chunk);
        bytes += chunk.length;
      });
      response.on("error", reject);
      response.on("end", () =>
        resolve({ status: response.statusCode!, sha256: hasher.digest("hex"), bytes }),
      );
    });
    sent.on("error", reject);
    sent.on("timeout", () => sent.destroy(new Error("nothing came")));
    sent.end();
  });
}
