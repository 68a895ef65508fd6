/**
 * Sites with a policy and a state, the people who approve for them, and releases that these approved: all by the command line,
 * and without Nix. What an attacker does with them is for tests.
 *
 * A packing machine signs in role packer; Ada (Ed25519) and Cy (OpenSSH) hold qa, Bo (P-256) release and rollback, Di (FIDO)
 * safety, which asks for touch and PIN; Ada and Bo sign policies.
 */
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { formatJson } from "../../src/canonical-json.js";
import type { Code } from "../../src/errors.js";
import type {
  AuditEntry,
  AuditExportReport,
  AuditVerifyReport,
  BundleDocument,
  Policy as PolicyDocument,
  PolicyReport,
  RestoreReceipt,
  SignReport,
  SiteState,
  TrustReport,
  VerifyReport,
} from "../../src/generated/types.js";
import { formatHex, hashOf } from "../../src/nix/hash.js";
import { formatPublicKey, parseSecretKey, type SecretKey } from "../../src/nix/signature.js";
import { type CliOptions, cliJson } from "./cli.js";
import { makeFidoKey } from "./fido.js";
import { makeRelease } from "./release.js";
import { makeSshKey } from "./ssh-keygen.js";
import { packerKey, writeRelease } from "./write-release.js";

/** What every command says when it prints JSON. */
export interface Answer<T> {
  readonly code: number | null;
  readonly json: T;
}

/** A report of a verb, or the error that stands for it. */
interface AnyReport {
  readonly findings?: readonly { readonly code: string }[];
  readonly error?: { readonly code: string };
  readonly verdict?: string;
}

const NAMES = { ada: "Ada Example", bo: "Bo Example", cy: "Cy Example", di: "Di Example" } as const;
export type PersonName = keyof typeof NAMES;

/** `Printed Name <id>`, as --signer takes it. */
export const who = (name: PersonName) => `${NAMES[name]} <${name}@example.org>`;

/** A key as `trust new` takes it. */
type Holding = readonly [roles: string, key: string];

/** A person's, in a policy. */
export const keysOf = ({ signers }: PolicyDocument, name: PersonName) =>
  signers.find(({ id }) => id === `${name}@example.org`)!.keys;

/** What the policy asks for, of every product. */
const REQUIRED = ["packer=1", "qa=1", "release=1", "safety=1"];

export interface MadePolicy {
  readonly path: string;
  /** Hex, as on the card. */
  readonly sha256: string;
}

export class SiteTrust {
  readonly dir = mkdtempSync(join(tmpdir(), "airgap-trust-"));
  readonly fido = makeFidoKey("sk-ssh-ed25519@openssh.com");
  /** Key texts and files, as command lines take them. */
  readonly publicKeys: Readonly<Record<PersonName | "packer", string>>;
  #count = 0;

  private constructor() {
    mkdirSync(this.path("keys"));
    const openssl = (...args: string[]) => execFileSync("openssl", args, { stdio: "pipe" });
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", this.key("bo.sec"));
    openssl("pkey", "-in", this.key("bo.sec"), "-pubout", "-out", this.key("bo.pem"));
    makeSshKey(this.key("cy"), ["ed25519"]);
    this.publicKeys = {
      packer: formatPublicKey(packerKey.publicKey),
      ada: this.key("ada.pub"),
      bo: this.key("bo.pem"),
      cy: this.key("cy.pub"),
      di: this.fido.publicLine,
    };
  }

  static async make(): Promise<SiteTrust> {
    const trust = new SiteTrust();
    await trust.keygen("ada");
    return trust;
  }

  path(name: string): string {
    return join(this.dir, name);
  }

  key(name: string): string {
    return join(this.path("keys"), name);
  }

  /** A folder that nobody has. */
  folder(): string {
    const path = this.path(`f${this.#count++}`);
    mkdirSync(path);
    return path;
  }

  remove(): void {
    execFileSync("chmod", ["-R", "u+w", this.dir]); // Nix stores are read-only
    rmSync(this.dir, { recursive: true, force: true });
  }

  /** As the program answers; not knowing whether it may. */
  ask<T = AnyReport>(args: readonly string[], options: CliOptions = {}): Promise<Answer<T>> {
    return cliJson<T>(args, { cwd: this.dir, ...options });
  }

  /** What must go well, for a test to begin. */
  async do<T>(args: readonly string[], options: CliOptions = {}): Promise<T> {
    const { code, json } = await this.ask<T>(args, options);
    if (code !== 0) throw new Error(`${args[0]} exited ${code}: ${JSON.stringify(json, null, 1)}`);
    return json;
  }

  /** An Ed25519 key by the program itself: NAME.sec and NAME.pub in `keys`. */
  async keygen(name: string): Promise<SecretKey> {
    await this.do(["keygen", "--name", name, "--out", this.path("keys")]);
    return this.secret(name);
  }

  secret(name: string): SecretKey {
    return parseSecretKey(readFileSync(this.key(`${name}.sec`), "utf8").trim());
  }

  /** Everybody, as `trust new` takes them. `others`: keys and roles instead. */
  people(others: Partial<Record<PersonName, readonly Holding[]>> = {}): string[] {
    const keys = this.publicKeys;
    const all: Record<PersonName, readonly Holding[]> = {
      ada: [["qa,policy", keys.ada]],
      bo: [["release,policy,rollback", keys.bo]],
      cy: [["qa", keys.cy]],
      di: [["safety", keys.di]],
      ...others,
    };
    return [
      ...["--machine", `Packing machine <packer-1> packer ${keys.packer}`],
      ...(Object.keys(all) as PersonName[]).flatMap((name) =>
        all[name].flatMap(([roles, key]) => ["--person", `${who(name)} ${roles} ${key}`]),
      ),
    ];
  }

  /** The policy of most tests; `more` are options of `trust new`. */
  policy(...more: string[]): Promise<MadePolicy> {
    const rollback = ["--rollback-signers", "1"];
    return this.policyFor({ people: this.people(), required: REQUIRED, more: [...rollback, ...more] });
  }

  policyFor(given: {
    readonly people: readonly string[];
    readonly required: readonly string[];
    readonly more?: readonly string[];
  }): Promise<MadePolicy> {
    const { people, required, more = [] } = given;
    return this.newPolicy([
      ...["--product", "pump", ...people, ...required.flatMap((text) => ["--require", text])],
      ...["--touch", "safety", "--pin", "safety", "--policy-signers", "2", ...more],
    ]);
  }

  async newPolicy(args: readonly string[]): Promise<MadePolicy> {
    const path = join(this.folder(), "policy.json");
    const { card } = await this.do<PolicyReport>(["trust", "new", "--out", path, ...args]);
    return { path, sha256: card.sha256 };
  }

  /** The next version, signed by these beside it. */
  async nextPolicy(after: MadePolicy, args: readonly string[], signers: readonly PersonName[]) {
    const next = await this.newPolicy(["--after", after.path, ...args]);
    for (const name of signers) await this.approve(next.path, "policy", name);
    return next;
  }

  /** A policy changed by hand, in its one encoding. */
  editPolicy(policy: MadePolicy, change: (document: PolicyDocument) => void): MadePolicy {
    const document = JSON.parse(readFileSync(policy.path, "utf8")) as PolicyDocument;
    change(document);
    const path = join(this.folder(), "policy.json");
    const text = formatJson(document);
    writeFileSync(path, text);
    return { path, sha256: formatHex(hashOf("sha256", text)) };
  }

  /** Made and signed by the packing machine. */
  async release(
    form: "directory" | "tar",
    given: Partial<BundleDocument> = {},
    packer: SecretKey = packerKey,
  ): Promise<string> {
    const { document, blobs } = makeRelease();
    Object.assign(document, given);
    return writeRelease(join(this.folder(), "bundle"), { document, blobs }, { form, keys: [packer] });
  }

  /** The same, and approved by all whom the policy asks for. */
  async approved(form: "directory" | "tar", given: Partial<BundleDocument> = {}): Promise<string> {
    const bundle = await this.release(form, given);
    await this.approveAll(bundle);
    return bundle;
  }

  async approveAll(bundle: string): Promise<void> {
    await this.approve(bundle, "qa", "ada");
    await this.approve(bundle, "release", "bo");
    await this.approve(bundle, "safety", "di");
  }

  /** One approval by `sign`, with whatever kind of key they have; Di's goes by --prepare and --attach. */
  async approve(what: string, role: string, name: PersonName, ...more: string[]): Promise<SignReport> {
    if (name === "di") return this.attach(what, role, { touch: true, pin: true }, ...more);
    const key =
      name === "cy"
        ? ["--ssh-key", this.key("cy")]
        : ["--key", this.key(name === "bo" ? "bo.sec" : "ada.sec")];
    return this.signWith(what, role, who(name), ...key, ...more);
  }

  signWith(what: string, role: string, signer: string, ...more: string[]): Promise<SignReport> {
    const words = ["--role", role, "--meaning", "reviewed", "--signer", signer, "--yes"];
    return this.do(["sign", what, ...words, ...more]);
  }

  /** What `sign --prepare` gives for a key: a file to be signed anywhere. */
  async prepare(what: string, role: string, name: PersonName, ...more: string[]): Promise<string> {
    const file = join(this.folder(), "to-sign.bin");
    await this.signWith(
      what,
      role,
      who(name),
      "--prepare",
      file,
      "--public-key",
      this.publicKeys[name],
      ...more,
    );
    return file;
  }

  /** By the FIDO key, as its authenticator saw its holder. */
  async attach(
    what: string,
    role: string,
    seen: { readonly touch: boolean; readonly pin: boolean },
    ...more: string[]
  ): Promise<SignReport> {
    const file = await this.prepare(what, role, "di", ...more);
    writeFileSync(`${file}.sig`, this.fido.sign(readFileSync(file), { namespace: "nix-airgap", ...seen }));
    return this.do(["sign", what, "--attach", `${file}.sig`, "--public-key", this.publicKeys.di]);
  }

  /** What `trust init` says of a policy on a machine that has none. */
  pin(policy: MadePolicy): Promise<Answer<unknown>> {
    const site = new Site(this, this.folder());
    return site.ask(["trust", "init", policy.path, "--sha256", policy.sha256]);
  }

  /** By `trust init`. */
  async site(policy: MadePolicy): Promise<Site> {
    const site = new Site(this, this.folder());
    await this.do(["trust", "init", policy.path, "--sha256", policy.sha256, ...site.place]);
    return site;
  }
}

/** One machine's policy, state and store. */
export class Site {
  readonly #trust: SiteTrust;
  readonly dir: string;

  constructor(trust: SiteTrust, dir: string) {
    this.#trust = trust;
    this.dir = dir;
  }

  get policyPath(): string {
    return join(this.dir, "etc/policy.json");
  }

  get stateDir(): string {
    return join(this.dir, "state");
  }

  get storeDir(): string {
    return join(this.dir, "store");
  }

  get place(): string[] {
    return ["--policy", this.policyPath, "--state", this.stateDir];
  }

  /** Another with the same history, whose store is empty. */
  clone(): Site {
    const dir = this.#trust.folder();
    for (const name of ["etc", "state"]) cpSync(join(this.dir, name), join(dir, name), { recursive: true });
    return new Site(this.#trust, dir);
  }

  ask<T = AnyReport>(args: readonly string[], options?: CliOptions): Promise<Answer<T>> {
    return this.#trust.ask<T>([...args, ...this.place], options);
  }

  verify(bundle: string, ...more: string[]): Promise<Answer<VerifyReport>> {
    return this.ask<VerifyReport>(["verify", bundle, ...more]);
  }

  restore(bundle: string, ...more: string[]): Promise<Answer<RestoreReceipt>> {
    return this.ask<RestoreReceipt>(["restore", bundle, "--store", this.storeDir, ...more]);
  }

  /** A restore that must go well. */
  async take(bundle: string, ...more: string[]): Promise<void> {
    const { code, json } = await this.restore(bundle, ...more);
    if (code !== 0) throw new Error(`restore exited ${code}: ${JSON.stringify(json.findings, null, 1)}`);
  }

  update(...policies: string[]): Promise<Answer<TrustReport>> {
    return this.ask<TrustReport>(["trust", "update", ...policies]);
  }

  get state(): SiteState {
    return JSON.parse(readFileSync(join(this.stateDir, "state.json"), "utf8")) as SiteState;
  }

  /** By whoever may write there, and knows the form. */
  editState(change: (state: SiteState) => void): void {
    const { state } = this;
    change(state);
    writeFileSync(join(this.stateDir, "state.json"), formatJson(state));
  }

  /** All entries, of a log that holds. */
  async log(): Promise<readonly AuditEntry[]> {
    const report = await this.#trust.do<AuditExportReport>(["audit", "export", "--state", this.stateDir]);
    return (JSON.parse(report.content ?? "") as { entries: AuditEntry[] }).entries;
  }

  auditVerify(): Promise<Answer<AuditVerifyReport>> {
    return this.#trust.ask<AuditVerifyReport>(["audit", "verify", "--state", this.stateDir]);
  }

  /** Whether anything was begun in the store. */
  get isStoreEmpty(): boolean {
    try {
      return readdirSync(join(this.storeDir, "nix/store")).every((name) => name.startsWith("."));
    } catch {
      return true;
    }
  }
}

/** Of all findings, each once, sorted; of an error its own. */
export function codesOf(report: unknown): Code[] {
  const { findings = [], error } = report as AnyReport;
  const codes = [...findings, ...(error === undefined ? [] : [error])].map(({ code }) => code);
  return [...new Set(codes)].sort() as Code[];
}

/** What a test compares: the exit and all codes. */
export function verdictOf({ code, json }: Answer<unknown>): [exit: number | null, ...codes: Code[]] {
  return [code, ...codesOf(json)];
}
