/** What is of format version 1.2 alone in VERIFY.md: a document may use features of both minor versions. */
import { VERIFY_1_1 } from "./verify-md-1.1.js";
import type { VersionedText } from "./verify-md-steps.js";

export const VERIFY_1_2: VersionedText = {
  ...VERIFY_1_1,
  introduction: VERIFY_1_1.introduction.replace("format version 1.1", "format version 1.2"),
  steps: VERIFY_1_1.steps.map((step) => ({
    ...step,
    sh: step.sh.replace('.features == ["approvals"]', '.features == ["approvals", "environment"]'),
  })),
};
