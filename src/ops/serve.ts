/**
 * serve: a verified bundle as a read-only binary cache over HTTP, for the other machines of a site. Verifies, remembers and records
 * as restore does, then serves until it is told to stop, and says what it gave out.
 */
import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import { resolve } from "node:path";
import { DOCUMENT_NAME } from "../bundle/layout.js";
import { AirgapError, EXIT, exitOf, type Finding, fail } from "../errors.js";
import type { ServeReport, SiteState } from "../generated/types.js";
import { VERSION } from "../generated/version.js";
import { type LineLog, openLineLog } from "../host/access-log.js";
import { type RunningServer, startServer } from "../host/http-server.js";
import { formatPublicKey, generateSecretKey, type SecretKey } from "../nix/signature.js";
import { timeOf } from "../time.js";
import { type BundleSource, withBundle } from "./bundle-source.js";
import type { Context } from "./context.js";
import { readImportKey } from "./import-key.js";
import { auditBundle, codesOf, type Happening, recorded, recordIn } from "./record.js";
import { refusal, reportedBundle, reportedFindings } from "./reports.js";
import { Answers, accessEntry, formatAccess } from "./serve/access.js";
import { Health } from "./serve/health.js";
import { DEFAULT_LISTEN, type ListenPlace, parseListen, urlOf } from "./serve/listen.js";
import { page } from "./serve/page.js";
import { partsOf, resourcesOf } from "./serve/resources.js";
import { acceptRelease } from "./site.js";
import { type Trust, trustDetails } from "./verify/trust.js";
import type { VerifiedBundle } from "./verify/verified-bundle.js";
import { verifyToBundle } from "./verify.js";

export interface ServeOptions {
  readonly trust: Exclude<Trust, { by: "nobody" }>;
  /** Other folders that hold parts of a bundle in parts. */
  readonly parts?: readonly string[];
  /** `ADDRESS:PORT`; default: DEFAULT_LISTEN. */
  readonly listen?: string;
  /** Listen where other machines can come. */
  readonly beyondLoopback: boolean;
  /** Signs narinfos; refused where the site keeps an import key. Default: that one, or one for this run. */
  readonly key?: SecretKey;
  /** A file that lines are added to; default: `request.answered` events. */
  readonly accessLog?: string;
}

/** Milliseconds for answers that are on their way when it is told to stop. */
const GRACE = 10_000;

/**
 * Ends well when the context's signal says so, once it serves.
 *
 * @throws AirgapError of exit 2 only (USAGE, KEY_INVALID, BUNDLE_NOT_FOUND), before anything is done. All else is in the report.
 */
export async function serve(
  bundlePath: string,
  options: ServeOptions,
  context: Context,
): Promise<ServeReport> {
  const place = parseListen(options.listen ?? DEFAULT_LISTEN);
  if (!place.isLoopback && !options.beyondLoopback) {
    fail("USAGE", {
      subject: `--listen ${options.listen}`,
      expected: "an address that only this machine can reach, such as 127.0.0.1",
      actual: "one that other machines may reach",
      hint: "If other machines are meant to reach it, give --beyond-loopback as well. Whoever reaches it can read all of the bundle.",
    });
  }
  const run = new Run(bundlePath, place, options, context);
  return run.record(await run.toReport());
}

type Outcome = Pick<ServeReport, "verdict" | "exit" | "findings">;
type Key = NonNullable<ServeReport["key"]>;

/** One run, and what its report says so far. */
class Run {
  readonly #bundlePath: string;
  readonly #place: ListenPlace;
  readonly #options: ServeOptions;
  readonly #context: Context;
  readonly #startedAt: string;
  readonly #answers = new Answers();
  #bundle: VerifiedBundle | null = null;
  /** What the bundle says it is, also where it was refused. */
  #claimed: Happening["bundle"] = null;
  #key: Key | null = null;
  #url: string | null = null;
  #health: Health | null = null;
  #isLogBroken = false;

  constructor(bundlePath: string, place: ListenPlace, options: ServeOptions, context: Context) {
    this.#bundlePath = bundlePath;
    this.#place = place;
    this.#options = options;
    this.#context = context;
    this.#startedAt = timeOf(context.now());
  }

  async toReport(): Promise<ServeReport> {
    try {
      const ended = await withBundle(this.#bundlePath, this.#context, (source) => this.#serve(source));
      return this.#report(ended);
    } catch (error) {
      if (!(error instanceof AirgapError) || error.exit === EXIT.usage) throw error;
      return this.#report(outcome("failed", [{ ...error.details, code: error.code }]));
    }
  }

  /** How it ended goes into the site's log. */
  async record(report: ServeReport): Promise<ServeReport> {
    const { trust } = this.#options;
    if (trust.by !== "policy" || trust.site === null) return report;
    return recorded(report, trust.site.place, this.#happening(report, report.verdict), this.#context);
  }

  async #serve(source: BundleSource): Promise<Outcome> {
    const { trust } = this.#options;
    // A verification takes long: what stands against serving is better said before.
    const secret = await this.#readKey();
    await this.#requireFree();
    const log = this.#openLog();
    try {
      const { report, bundle } = await verifyToBundle(
        source,
        { trust, documentOnly: false, allowExtra: false, parts: this.#options.parts ?? [] },
        this.#context,
      );
      this.#claimed = auditBundle(report.bundle);
      if (bundle === null) return refusal(report);
      this.#bundle = bundle;
      const refused = await this.#accept(bundle);
      if (refused.length > 0) return outcome("refused", refused);
      const server = await this.#start(bundle, secret, log);
      await aborted(this.#context.signal);
      await server.stop(GRACE);
      return outcome("stopped", []);
    } finally {
      log?.close();
    }
  }

  /** The site's, a given one, or one for this run. */
  async #readKey(): Promise<SecretKey> {
    const { trust, key } = this.#options;
    const site = trust.by === "policy" ? trust.site : null;
    const siteKey = site === null ? null : await readImportKey(site.place);
    if (siteKey !== null && key !== undefined) {
      fail("USAGE", {
        subject: "--key",
        expected: "no key, since this site keeps one of its own",
        hint: `Leave out --key: what this site serves is signed by its import key, ${siteKey.publicKey.name}.`,
      });
    }
    const secret = siteKey ?? key ?? generateSecretKey(`nix-airgap-serve-${randomBytes(8).toString("hex")}`);
    const from = siteKey !== null ? "site" : key !== undefined ? "file" : "run";
    this.#key = { from, publicKey: formatPublicKey(secret.publicKey) };
    return secret;
  }

  /** @throws AirgapError LISTEN_FAILED */
  async #requireFree(): Promise<void> {
    const { address, port } = this.#place;
    const nothing = () => {};
    const server = await startServer({
      ...{ address, port, lookup: () => null, onAnswered: nothing, onBroken: nothing },
    });
    await server.stop(0);
  }

  /** What a site gives to its machines it has taken: from here on what is older needs an authorization. */
  async #accept({ document, documentSha256: sha256 }: VerifiedBundle): Promise<readonly Finding[]> {
    const { trust } = this.#options;
    if (trust.by !== "policy" || trust.site === null) return [];
    const { policy, rollbacks, site } = trust;
    // What cannot be recorded is not begun.
    const begun = (state: SiteState) =>
      recordIn(
        site.place,
        state,
        this.#happening(this.#report(outcome("stopped", [])), "begun"),
        this.#context,
      );
    return acceptRelease(
      { place: site.place, policy },
      { document, sha256, rollbacks, begun },
      this.#context,
    );
  }

  #openLog(): LineLog | null {
    const { accessLog } = this.#options;
    return accessLog === undefined ? null : openLineLog(resolve(this.#context.cwd, accessLog));
  }

  async #start(bundle: VerifiedBundle, secret: SecretKey, log: LineLog | null): Promise<RunningServer> {
    const { report, now } = this.#context;
    const { document, documentSha256, approvals, medium } = bundle;
    const { product, release, sequence } = document;
    const key = this.#key!;
    const since = timeOf(now());
    const note = (text: string): void => report({ type: "note", text });
    const health = new Health(partsOf(medium.files.get(DOCUMENT_NAME)!)[0]!, (reason) =>
      note(`the medium: ${reason}`),
    );
    this.#health = health;
    const healthReport = async () => {
      const reason = await health.reason();
      return {
        bundle: { product, release, sequence, sha256: documentSha256 },
        format: "nix-airgap-health" as const,
        publicKey: key.publicKey,
        reason,
        since,
        status: reason === null ? ("ok" as const) : ("failed" as const),
        tools: { nixAirgap: VERSION },
      };
    };
    // Only then it is known which port the page names.
    let url = "";
    const facts = () => ({ url, key, document, documentSha256, approvals, since });
    const server = await startServer({
      address: this.#place.address,
      port: this.#place.port,
      lookup: await resourcesOf({ bundle, key: secret, page: () => page(facts()), health: healthReport }),
      onAnswered: (answered) => {
        const entry = accessEntry(answered, timeOf(now()));
        this.#answers.add(entry);
        this.#log(formatAccess(entry), log);
      },
      onBroken: (error) => health.broken(error),
    });
    url = urlOf(server.address, server.port, hostname());
    this.#url = url;
    note(`serving ${product} ${release} at ${url}`);
    if (key.from === "run")
      note("narinfos are signed by a key of this run alone: after a restart it is another");
    note(`trusted-public-keys = ${key.publicKey}`);
    return server;
  }

  /** A log that cannot be written is told of once; what is asked for is given all the same. */
  #log(line: string, log: LineLog | null): void {
    const { report } = this.#context;
    if (log === null) {
      report({ type: "request.answered", line });
      return;
    }
    if (this.#isLogBroken) return;
    try {
      log.write(line);
    } catch (error) {
      if (!(error instanceof AirgapError)) throw error;
      this.#isLogBroken = true;
      report({ type: "note", text: `no access log from now on: ${error.message}` });
    }
  }

  #happening({ exit, findings }: ServeReport, verdict: string): Happening {
    const { trust } = this.#options;
    const passedOver = trust.by === "policy" ? trustDetails(trust) : {};
    const { address, port } = this.#place;
    const { bytes, requests } = this.#answers.sums;
    return {
      event: "serve",
      verdict,
      exit,
      bundle: this.#claimed,
      details: {
        ...passedOver,
        findings: codesOf(findings),
        listen: `${address} port ${port}`,
        publicKey: this.#key?.publicKey ?? null,
        url: this.#url,
        ...(verdict === "begun" ? {} : { answers: `${requests} requests, ${bytes} bytes` }),
      },
    };
  }

  #report({ verdict, exit, findings }: Outcome): ServeReport {
    return {
      answers: this.#answers.sums,
      bundle: this.#bundle === null ? null : reportedBundle(this.#bundle),
      exit,
      findings,
      finishedAt: timeOf(this.#context.now()),
      format: "nix-airgap-serve",
      key: this.#key,
      startedAt: this.#startedAt,
      tools: { nixAirgap: VERSION },
      trouble: this.#health?.trouble ?? null,
      url: this.#url,
      verdict,
    };
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

function outcome(verdict: Outcome["verdict"], findings: readonly Finding[]): Outcome {
  return { verdict, exit: exitOf(findings), findings: reportedFindings(findings) };
}
