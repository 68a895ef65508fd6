/** A question that could not be answered, for people and as JSON. */
import { AirgapError, CODES, EXIT, type ExitCode } from "../../errors.js";
import type { ErrorReport } from "../../generated/types.js";
import { VERSION } from "../../generated/version.js";
import { UsageError } from "../command.js";
import { block, type Line } from "./text.js";

/** `command`: the one that ran, or null. Whatever is not one of our own errors is a bug. */
export function errorReport(error: unknown, command: string | null): ErrorReport {
  const report = (exit: ExitCode, code: string, fields: Partial<ErrorReport["error"]>): ErrorReport => ({
    format: "nix-airgap-error",
    command,
    exit,
    error: {
      code,
      message: "",
      subject: null,
      expected: null,
      actual: null,
      line: null,
      offset: null,
      advice: "",
      ...fields,
    },
  });
  if (error instanceof UsageError) {
    return report(EXIT.usage, "USAGE", { message: error.message, advice: `See ${helpOf(command)}` });
  }
  if (error instanceof AirgapError) {
    const {
      subject = null,
      expected = null,
      actual = null,
      line = null,
      offset = null,
      hint,
    } = error.details;
    const { explain, advice } = CODES[error.code];
    const message = subject === null ? explain : `${subject}: ${explain}`;
    return report(error.exit, error.code, {
      message,
      subject,
      expected,
      actual,
      line,
      offset,
      advice: hint ?? advice,
    });
  }
  return report(EXIT.bug, "BUG", {
    message: error instanceof Error ? `${error.name}: ${error.message}` : String(error),
    advice: `This is a bug in nix-airgap ${VERSION}: please report it with the lines above, and what you did.`,
  });
}

const LABEL_WIDTH = "expected".length;

export function renderError(report: ErrorReport, error: unknown): Line[] {
  const { message, expected, actual, line, offset, advice, code } = report.error;
  const who = report.command === null ? "nix-airgap" : `nix-airgap ${report.command}`;
  const title: Line = { text: `${who}: ${message}`, style: "bad" };
  if (error instanceof UsageError) return [title, advice];
  if (code === "BUG") return [title, ...stackOf(error), advice];
  const where = line !== null ? `line ${line}` : offset !== null ? `byte ${offset}` : null;
  return [
    title,
    ...(where === null ? [] : block("where", where, LABEL_WIDTH)),
    ...(expected === null ? [] : block("expected", expected, LABEL_WIDTH)),
    ...(actual === null ? [] : block("found", actual, LABEL_WIDTH)),
    ...block("do", advice, LABEL_WIDTH),
    { text: `  (${code}, exit ${report.exit})`, style: "dim" },
  ];
}

function stackOf(error: unknown): string[] {
  const stack = error instanceof Error ? (error.stack ?? "") : "";
  const cause =
    error instanceof Error && error.cause !== undefined ? ["caused by:", ...stackOf(error.cause)] : [];
  return [...stack.split("\n").filter((line) => line.trim() !== ""), ...cause];
}

function helpOf(command: string | null): string {
  return command === null ? "nix-airgap --help" : `nix-airgap ${command} --help`;
}
