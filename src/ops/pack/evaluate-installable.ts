/** One attribute of a flake to its derivation. An app is none: it is that which makes its program. */
import type { EvalOptions, NixContext } from "../../host/nix/index.js";
import * as nix from "../../host/nix/index.js";
import { isApp } from "../../nix/flake-outputs.js";

export interface Installable {
  readonly ref: string;
  readonly attr: string;
}

export type EvaluatedInstallable =
  | { readonly ok: true; readonly drvPath: string; readonly program?: string }
  /** Nix's words, or ours for an app without a derivation. */
  | { readonly ok: false; readonly message: string };

/** @throws AirgapError INTERRUPTED, NIX_MISSING, NIX_FAILED where Nix was killed */
export async function evaluateInstallable(
  context: NixContext,
  { ref, attr }: Installable,
  options: EvalOptions = {},
): Promise<EvaluatedInstallable> {
  if (isApp(attr)) return evaluateApp(context, { ref, attr }, options);
  const { ok, stdout, message } = await nix.evalDrvPath(context, ref, attr, options);
  return ok ? { ok, drvPath: stdout.trim() } : { ok, message };
}

async function evaluateApp(
  context: NixContext,
  { ref, attr }: Installable,
  options: EvalOptions,
): Promise<EvaluatedInstallable> {
  const { ok, message, program } = await nix.evalProgram(context, ref, attr, options);
  if (!ok) return { ok, message };
  const [drvPath, ...others] = program.derivations;
  if (drvPath !== undefined && others.length === 0) return { ok, drvPath, program: program.path };
  const of = drvPath === undefined ? "no derivation" : `${program.derivations.length} derivations`;
  return { ok: false, message: `${UNSUPPORTED_PROGRAM}: ${program.path} comes from ${of}` };
}

/** Begins the message for an app that no bundle can carry. */
export const UNSUPPORTED_PROGRAM = "the program of an app must come from one derivation";
