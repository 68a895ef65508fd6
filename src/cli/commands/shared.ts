/** Words and options that several commands have in common. */

export const BUNDLE = { name: "BUNDLE", count: "one" } as const;

export const sandboxPathOption = {
  kind: "texts",
  describe: "P  of this machine to lend to builders, which weakens the verdict; repeat for more",
} as const;

export const storeOption = {
  kind: "text",
  describe:
    "URI  of the store: a folder, local?root=FOLDER, local, daemon or unix://SOCKET; default: auto, this machine's",
} as const;
