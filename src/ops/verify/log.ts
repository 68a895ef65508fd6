/**
 * Gathers what the steps of a verification find, and makes the report of it. Sorted, so that it does not depend on
 * which worker was done first.
 */
import { narinfoName } from "../../bundle/layout.js";
import { Needs, seedsOf } from "../../bundle/needs.js";
import { PackedDerivations } from "../../bundle/packed.js";
import type { SignatureCount } from "../../bundle/path-signatures.js";
import { CODES, type Code, EXIT, exitOf, type Finding } from "../../errors.js";
import type {
  BundleDocument,
  PolicySigner,
  VerifyFinding,
  VerifyReport,
  VerifyStep,
} from "../../generated/types.js";
import { type CheckedApproval, keyHashOf, keyNameOf } from "../../trust/approval.js";
import { saysSigner } from "../../trust/statement.js";

export type Step = VerifyStep["step"];

const TITLES: Readonly<Record<Step, string>> = {
  V1: "names, types and sizes of files; form of the tar",
  V2: "approvals: signatures over the document, and what they bind",
  V3: "document: encoding, schema, meaning",
  V4: "no way back: this site took nothing newer, and nothing has expired",
  V5: "derived files are what the document gives",
  V6: "closure: all that the tier promises, and nothing more",
  V7: "names follow from contents",
  V8: "blobs: size, SHA-256, one zstd frame, NAR hash",
  V9: "NARs keep the grammar",
  V10: "store paths inside outputs are declared references",
  V11: "nothing unlisted",
};

const STEPS = Object.keys(TITLES) as Step[];

/** Nobody reads more, and a hostile medium can have a million. All of them count for the exit. */
const MAX_FINDINGS = 10_000;
/** Paths whose name is not proved, named as examples. */
const MAX_EXAMPLES = 10;

export class VerifyLog {
  readonly bundle: VerifyReport["bundle"];
  approvals: readonly CheckedApproval[] = [];
  /** By file name, where a policy was asked: whose key it is, and why it does not count. */
  readonly standing = new Map<
    string,
    { readonly signer: PolicySigner; readonly objection: Finding | null }
  >();
  signatures: { perKey: readonly SignatureCount[]; local: number } = { perKey: [], local: 0 };
  unproven: readonly string[] = [];
  document: BundleDocument | null = null;
  /** From these, too, follows who needs a path. */
  derivations = new PackedDerivations(new Map());
  readonly #steps = new Map<
    Step,
    { state: "passed" | "partly" | "not-run"; checked: number; note?: string }
  >();
  readonly #findings: { step: Step; finding: Finding }[] = [];
  readonly #codes = new Set<Code>();
  readonly #failed = new Set<Step>();
  #isCut = false;
  readonly #notes: VerifyReport["notes"] = [];

  constructor(path: string) {
    this.bundle = {
      path,
      kind: null,
      sha256: null,
      created: null,
      product: null,
      release: null,
      sequence: null,
      systems: null,
      tier: null,
    };
  }

  /** A step that was done on `checked` items; it fails by its findings. */
  done(step: Step, checked: number, note?: string): void {
    this.#steps.set(step, { state: "passed", checked, ...(note === undefined ? {} : { note }) });
  }

  /** More items of a step that was done. */
  addChecked(step: Step, checked: number): void {
    const state = this.#steps.get(step);
    if (state !== undefined) state.checked += checked;
  }

  partly(step: Step, checked: number, note: string): void {
    this.#steps.set(step, { state: "partly", checked, note });
  }

  notRun(step: Step, note: string): void {
    this.#steps.set(step, { state: "not-run", checked: 0, note });
  }

  find(step: Step, findings: readonly Finding[]): void {
    for (const finding of findings) {
      this.#codes.add(finding.code);
      this.#failed.add(step);
      if (this.#findings.length < MAX_FINDINGS) this.#findings.push({ step, finding });
      else this.#isCut = true;
    }
  }

  note(text: string, subject: string | null = null): void {
    this.#notes.push({ subject, text });
  }

  failed(step: Step): boolean {
    return this.#failed.has(step);
  }

  /** `verdict`: what it is when there are no findings. */
  report(verdict: Exclude<VerifyReport["verdict"], "refused">): VerifyReport {
    const { document } = this;
    const refused = this.#codes.size > 0;
    return {
      format: "nix-airgap-verify",
      verdict: refused ? "refused" : verdict,
      exit: refused ? exitOf([...this.#codes].map((code) => ({ code }))) : EXIT.yes,
      bundle: this.bundle,
      steps: STEPS.map((step) => this.#step(step)),
      findings: this.#sortedFindings(),
      approvals: this.approvals.map((approval) => this.#approval(approval)),
      signatures: { local: this.signatures.local, perKey: [...this.signatures.perKey] },
      notProven: {
        count: this.unproven.length,
        reason: this.unproven.length === 0 ? null : this.#reasonUnproven(),
        examples: this.unproven.slice(0, MAX_EXAMPLES),
      },
      notes: this.#allNotes().sort(
        (a, b) => compare(a.subject ?? "", b.subject ?? "") || compare(a.text, b.text),
      ),
      totals: document === null ? null : { ...document.totals },
    };
  }

  #allNotes(): VerifyReport["notes"] {
    if (!this.#isCut) return [...this.#notes];
    return [
      ...this.#notes,
      { subject: null, text: `more is wrong than the ${MAX_FINDINGS} findings listed` },
    ];
  }

  #step(step: Step): VerifyStep {
    const { state, checked, note } = this.#steps.get(step) ?? { state: "not-run", checked: 0 };
    return {
      step,
      title: TITLES[step],
      state: this.failed(step) ? "failed" : state,
      checked,
      note: note ?? null,
    };
  }

  #sortedFindings(): VerifyFinding[] {
    const neededBy = this.#neededBy();
    return this.#findings
      .map(({ step, finding }): VerifyFinding => {
        const { code, subject, expected, actual, offset, line, hint } = finding;
        return {
          code,
          step,
          subject: subject ?? null,
          expected: expected ?? null,
          actual: actual ?? null,
          offset: offset ?? null,
          line: line ?? null,
          neededBy: [...(finding.neededBy ?? neededBy(subject))],
          explain: CODES[code].explain,
          advice: hint ?? CODES[code].advice,
        };
      })
      .sort(
        (a, b) =>
          STEPS.indexOf(a.step) - STEPS.indexOf(b.step) ||
          compare(a.subject ?? "", b.subject ?? "") ||
          compare(a.code, b.code) ||
          compare(`${a.expected} ${a.actual}`, `${b.expected} ${b.actual}`),
      );
  }

  /** Answers who needs what a finding is about. Where there is none, nothing is gathered for it: that takes time and memory. */
  #neededBy(): (subject: string | undefined) => string[] {
    const { document } = this;
    if (document === null || this.#findings.length === 0) return () => [];
    const needs = new Needs(document, seedsOf(document, this.derivations));
    // Store paths by themselves, and by the name of their narinfo.
    const paths = new Map(
      document.paths.flatMap(({ storePath }) => [
        [storePath, storePath],
        [narinfoName(storePath), storePath],
      ]),
    );
    return (subject = "") => {
      // An output is `/nix/store/….drv!out`, a file in a path `/nix/store/…/flake.lock`.
      const [named = ""] = /^(?:\/nix\/store\/[^/!]+|[^/]+)/.exec(subject) ?? [];
      const storePath = paths.get(named);
      if (storePath === undefined) return [];
      const by = needs.of(storePath);
      return storePath === named ? by : [`path ${storePath}`, ...by];
    };
  }

  #approval(approval: CheckedApproval): VerifyReport["approvals"][number] {
    const statement = approval.state === "valid" ? approval.statement : approval.unverifiedStatement;
    const standing = this.standing.get(approval.file);
    const { file, role } = approval;
    const predicate = statement?.predicate;
    return {
      file,
      state: approval.state === "valid" && standing?.objection ? "not-counted" : approval.state,
      role,
      keyName: keyNameOf(approval),
      keyHash: keyHashOf(approval),
      signedAt: predicate?.signedAt ?? null,
      signer: statement ? saysSigner(statement) : null,
      decision: predicate?.decision ?? null,
      meaning: predicate && "meaning" in predicate ? predicate.meaning : null,
      reason: standing?.objection ? CODES[standing.objection.code].explain : null,
    };
  }

  #reasonUnproven(): string {
    return this.document?.tier === "runtime"
      ? "tier runtime holds no derivations, from which the names of outputs follow"
      : "the derivations from which these names follow were not read";
  }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
