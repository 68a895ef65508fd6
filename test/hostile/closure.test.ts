import { itRefuses } from "./battle.js";
import { CLOSURE } from "./closure.js";

itRefuses("attacks on the closure, by whoever holds the right key", CLOSURE);
