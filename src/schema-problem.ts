/** What a validator found wrong, for one line of a finding. */
import type { ErrorObject } from "ajv";

/** `/path/of/value must be …`: the first of what it found. */
export function firstProblem(errors: readonly ErrorObject[] | null | undefined): string {
  const error = errors?.[0];
  return `${error?.instancePath || "top"} ${error?.message ?? "fits its schema"}`;
}
