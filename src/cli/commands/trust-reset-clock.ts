import { command, UsageError } from "../command.js";
import { needsWords, placeOf, placeOptions } from "../trust.js";

export const trustResetClockCommand = command({
  name: "trust reset-clock",
  summary: "Say that the clock had been ahead, and is right now",
  description:
    "A site refuses to go on when its clock is behind a time that it has seen. Where that time was a mistake (the clock had been ahead), set the clock, then let the site forget it. It is recorded.",
  positional: { name: "", count: "none" },
  options: {
    reason: { kind: "text", describe: "TEXT  for the record; required", check: needsWords },
    ...placeOptions,
  },
  examples: [
    {
      what: "After the battery was changed",
      command: "nix-airgap trust reset-clock --reason 'battery changed, clock had been 2031'",
    },
    { what: "For a script", command: "nix-airgap trust reset-clock --reason 'new board' --json" },
  ],
  async run({ options }, { context }) {
    const { reason } = options;
    if (reason === undefined) throw new UsageError("--reason is missing", "trust reset-clock");
    const { trustResetClock } = await import("../../ops/trust/reset-clock.js");
    const { renderTrust } = await import("../render/trust.js");
    const report = await trustResetClock(placeOf(options, context.cwd), reason, context);
    return { report, render: (view) => renderTrust(report, view) };
  },
});
