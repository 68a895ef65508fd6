/** Words and options that several commands have in common. */

export const BUNDLE = { name: "BUNDLE", count: "one" } as const;

export const sandboxPathOption = {
  kind: "texts",
  describe: "P  of this machine to lend to builders, which weakens the verdict; repeat for more",
} as const;
