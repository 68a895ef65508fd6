/** What a judge says of one check, apart from the check's own words. */
import type { DoctorCheck } from "../../generated/types.js";

export type Verdict = Pick<DoctorCheck, "state" | "found" | "advice">;

export const ok = (found: string, advice: string | null = null): Verdict => ({ state: "ok", found, advice });
export const warn = (found: string, advice: string): Verdict => ({ state: "warn", found, advice });
export const bad = (found: string, advice: string): Verdict => ({ state: "bad", found, advice });
export const unknown = (found: string, advice: string): Verdict => ({ state: "unknown", found, advice });
