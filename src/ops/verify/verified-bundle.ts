/** A bundle that passed every step, by a trusted key's approval: what restore and rebuild take, and nothing else. */
import type { Medium } from "../../bundle/medium.js";
import type { BundleDocument, VerifyReport } from "../../generated/types.js";
import type { Derivation } from "../../nix/derivation.js";
import type { CheckedApproval } from "../../trust/approval.js";

export interface VerifiedContents {
  /** Of the server that it was fetched from; null for what was here. */
  readonly url: string | null;
  /** Of the time of verification: who reads from it later must hash again what is read. */
  readonly medium: Medium;
  readonly document: BundleDocument;
  /** Hex: the bundle id. */
  readonly documentSha256: string;
  /** Every .drv of the bundle. */
  readonly derivations: ReadonlyMap<string, Derivation>;
  readonly approvals: readonly CheckedApproval[];
  /** Approval files as they are, by name. */
  readonly approvalFiles: ReadonlyMap<string, Buffer>;
  /** Fixed outputs that hold prebuilt binaries, with the names of some: no source in a reader's eyes. */
  readonly prebuilt: ReadonlyMap<string, readonly string[]>;
}

export class VerifiedBundle {
  readonly #contents: VerifiedContents;

  private constructor(contents: VerifiedContents) {
    this.#contents = contents;
  }

  /** For verify alone: null unless the report's verdict is that everything was verified. */
  static of(report: VerifyReport, contents: VerifiedContents): VerifiedBundle | null {
    const complete = report.steps.every(
      // Where no policy is asked, there is no site that remembers.
      ({ step, state }) => state === "passed" || (step === "V4" && state === "not-run"),
    );
    return report.verdict === "verified" && complete ? new VerifiedBundle(contents) : null;
  }

  get url(): string | null {
    return this.#contents.url;
  }

  get medium(): Medium {
    return this.#contents.medium;
  }

  get document(): BundleDocument {
    return this.#contents.document;
  }

  get documentSha256(): string {
    return this.#contents.documentSha256;
  }

  get derivations(): ReadonlyMap<string, Derivation> {
    return this.#contents.derivations;
  }

  get approvals(): readonly CheckedApproval[] {
    return this.#contents.approvals;
  }

  get approvalFiles(): ReadonlyMap<string, Buffer> {
    return this.#contents.approvalFiles;
  }

  get prebuilt(): ReadonlyMap<string, readonly string[]> {
    return this.#contents.prebuilt;
  }
}
