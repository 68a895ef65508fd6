/** Judges a rebuild: one verdict for each derivation, and what they add up to. Pure. */
import type { PackedDerivations } from "../../bundle/packed.js";
import type { Finding } from "../../errors.js";
import type { BundleDocument, RebuildReport, RebuiltDerivation } from "../../generated/types.js";
import type { RebuildPlan } from "./plan.js";

export interface BuildOutcome {
  /** NAR hashes (SRI) of the built outputs, read back from disk, by store path. */
  readonly actual: ReadonlyMap<string, string>;
  /** Derivations whose builder ran in this run. */
  readonly started: ReadonlySet<string>;
  /** The last lines of each builder, by derivation. */
  readonly logs: ReadonlyMap<string, readonly string[]>;
  /** What is different about an output, by store path. */
  readonly differences: ReadonlyMap<
    string,
    readonly { readonly path: string; readonly difference: string }[]
  >;
}

/** One for each derivation of the plan, in its order. */
export function judge(
  plan: RebuildPlan,
  document: BundleDocument,
  packed: PackedDerivations,
  outcome: BuildOutcome,
): RebuiltDerivation[] {
  const expected = new Map(document.paths.map(({ storePath, narHash }) => [storePath, narHash]));
  const irreproducible = new Map(
    document.knownIrreproducible.map(({ drvPath, reason }) => [drvPath, reason]),
  );
  /** Derivations whose outputs may have other bits than where the bundle was packed. */
  const tainted = new Set<string>();
  const verdicts = new Map<string, RebuiltDerivation["verdict"]>();
  return [...plan.build].map(([drvPath, derivation]) => {
    const outputs = [...derivation.outputs].flatMap(([name, output]) => {
      if (!("path" in output)) return [];
      const { path } = output;
      return [
        {
          actual: outcome.actual.get(path) ?? null,
          differences: [...(outcome.differences.get(path) ?? [])],
          expected: expected.get(path) ?? null,
          name,
          path,
        },
      ];
    });
    const inputs = [
      ...new Set(packed.inputsOf(drvPath).flatMap((path) => plan.outputs.get(path) ?? [])),
    ].sort();
    const base = { because: [] as string[], drvPath, log: [] as string[], outputs, reason: null };
    const say = (
      verdict: RebuiltDerivation["verdict"],
      more: Partial<RebuiltDerivation> = {},
    ): RebuiltDerivation => {
      verdicts.set(drvPath, verdict);
      return { ...base, verdict, ...more };
    };

    if (outputs.some(({ actual }) => actual === null)) {
      if (outcome.started.has(drvPath)) return say("failed", { log: [...(outcome.logs.get(drvPath) ?? [])] });
      const because = inputs.filter((input) => ["failed", "not-built"].includes(verdicts.get(input) ?? ""));
      const reason = because.length > 0 ? "what it depends on was not built" : "Nix did not begin it";
      return say("not-built", { because, reason });
    }
    const because = inputs.filter((input) => tainted.has(input));
    if (outputs.some(({ actual, expected }) => expected !== null && actual !== expected)) {
      tainted.add(drvPath);
      const reason = irreproducible.get(drvPath);
      if (reason !== undefined) return say("known-irreproducible", { because, reason });
      return because.length > 0 ? say("inherited", { because }) : say("differs");
    }
    if (outputs.some(({ expected }) => expected !== null)) return say("identical");
    if (because.length > 0) tainted.add(drvPath);
    return say("uncompared", { because });
  });
}

export type RebuildCounts = NonNullable<RebuildReport["counts"]>;

export function countVerdicts(derivations: readonly RebuiltDerivation[], resumed: number): RebuildCounts {
  const count = (verdict: RebuiltDerivation["verdict"]) =>
    derivations.filter((derivation) => derivation.verdict === verdict).length;
  return {
    differs: count("differs"),
    failed: count("failed"),
    identical: count("identical"),
    inherited: count("inherited"),
    knownIrreproducible: count("known-irreproducible"),
    notBuilt: count("not-built"),
    resumed,
    toBuild: derivations.length,
    uncompared: count("uncompared"),
  };
}

/** What is wrong: own differences, and failed builds. What is known, or only inherited, is none. */
export function findingsOf(derivations: readonly RebuiltDerivation[]): Finding[] {
  const differs = derivations
    .filter(({ verdict }) => verdict === "differs")
    .flatMap(({ drvPath, outputs }) =>
      outputs
        .filter(({ actual, expected }) => expected !== null && actual !== expected)
        .map(
          ({ path, expected, actual }): Finding => ({
            code: "REBUILD_DIFFERS",
            subject: path,
            expected: expected!,
            actual: actual!,
            neededBy: [drvPath],
          }),
        ),
    );
  const failed = derivations
    .filter(({ verdict }) => verdict === "failed")
    .map(
      ({ drvPath, log }): Finding => ({
        code: "BUILD_FAILED",
        subject: drvPath,
        actual: log.at(-1) ?? "no output",
        hint: failureHint(log),
      }),
    );
  // Nothing that failed explains these: Nix gave up, or refused.
  const stuck = derivations
    .filter(({ verdict, because }) => verdict === "not-built" && because.length === 0)
    .map(
      ({ drvPath, reason }): Finding => ({
        code: "BUILD_FAILED",
        subject: drvPath,
        actual: reason ?? "not built",
      }),
    );
  return [...differs, ...failed, ...stuck];
}

function failureHint(log: readonly string[]): string {
  return log.some((line) => /No such file or directory|not found/.test(line))
    ? "If the builder wants a program of the machine itself, lend it: --sandbox-path /bin --sandbox-path /usr ..."
    : "Read the log in the report; --keep-failed keeps the build's folder.";
}

/** "5 of 7 derivations rebuilt identical; …". */
export function summarise(
  counts: RebuildCounts,
  from: RebuildPlan["from"],
  about: {
    readonly prebuilt: readonly { readonly path: string }[];
    readonly sandbox: { readonly byNix: readonly string[]; readonly paths: readonly string[] };
    /** Roots of other systems. */
    readonly leftOut: readonly { readonly system: string }[];
  },
): string {
  const { prebuilt, sandbox, leftOut } = about;
  const parts = [`${counts.identical} of ${counts.toBuild} derivations rebuilt identical from tier ${from}`];
  const add = (count: number, text: string) => {
    if (count > 0) parts.push(`${count} ${text}`);
  };
  add(counts.differs, "differ");
  add(counts.inherited, "differ because of what they depend on");
  add(counts.knownIrreproducible, "known to be irreproducible");
  add(counts.uncompared, "rebuilt with nothing in the bundle to compare with");
  add(counts.failed, "failed");
  add(counts.notBuilt, "not built");
  const others = [...new Set(leftOut.map(({ system }) => system))].sort().join(" ");
  add(leftOut.length, `roots for ${others} left out, as --system says`);
  const names = prebuilt.map(({ path }) => path.slice("/nix/store/".length));
  parts.push(
    names.length === 0
      ? "none start from prebuilt binaries"
      : `${names.length} start from prebuilt binaries (${names.join(", ")})`,
  );
  if (sandbox.paths.length > 0) parts.push(`builders could use ${sandbox.paths.join(" ")} of this machine`);
  if (sandbox.byNix.length > 0) parts.push(`this Nix lends every build ${sandbox.byNix.join(" ")}`);
  return parts.join("; ");
}
