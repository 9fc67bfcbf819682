// Workers come, go and change what they do.
import { refreshWhile } from "./live.js";

refreshWhile(() => true, 3000);
