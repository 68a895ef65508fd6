/** Whether what is served can still be read, as far as answers and a look at the medium tell. */
import type { AirgapError } from "../../errors.js";
import { EXIT } from "../../errors.js";
import { canRead } from "../../host/file-parts.js";
import type { Segment } from "../../segments.js";

export class Health {
  readonly #probe: Segment;
  readonly #onTrouble: (reason: string) => void;
  /** Files that could not be read; a medium may come back. */
  readonly #suspects = new Set<string>();
  /** Bytes that had changed; nothing but another verification makes that good. */
  #damage: string | null = null;
  #isWell = true;
  /** What was wrong last. */
  trouble: string | null = null;

  /** `probe`: a file that is read when somebody asks. `onTrouble` hears when it is no longer well. */
  constructor(probe: Segment, onTrouble: (reason: string) => void) {
    this.#probe = probe;
    this.#onTrouble = onTrouble;
  }

  broken(error: AirgapError): void {
    if (error.exit === EXIT.integrity) this.#damage = error.message;
    else if (error.details.subject !== undefined) this.#suspects.add(error.details.subject);
    this.#keep(error.message);
  }

  /** Why it is not well; null where it is. */
  async reason(): Promise<string | null> {
    if (this.#damage !== null) return this.#damage;
    const suspects = [...this.#suspects].map((path) => ({ path, offset: 0, size: 1 }));
    for (const part of [this.#probe, ...suspects]) {
      const error = await canRead(part);
      if (error !== null) {
        this.#keep(error.message);
        return error.message;
      }
    }
    this.#suspects.clear();
    this.#isWell = true;
    return null;
  }

  #keep(reason: string): void {
    this.trouble = reason;
    if (this.#isWell) this.#onTrouble(reason);
    this.#isWell = false;
  }
}
