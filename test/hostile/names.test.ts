import { itRefuses } from "./battle.js";
import { NAMES } from "./contents.js";

itRefuses("attacks on names, by whoever holds the right key", NAMES);
