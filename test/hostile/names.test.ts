import { itRefuses } from "./battle.js";
import { NAMES } from "./names.js";

itRefuses("attacks on names, by whoever holds the right key", NAMES);
