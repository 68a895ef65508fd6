import { itRefuses } from "./battle.js";
import { TRUST } from "./trust.js";

itRefuses("attacks on approvals and on the document that they are for", TRUST);
