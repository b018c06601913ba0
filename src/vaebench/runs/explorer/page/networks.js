// The encoder and decoder, run by ONNX Runtime Web on one thread.

const networks = {
  async load() {
    const script = URL.createObjectURL(new Blob([await gunzip(blob("runtime"))], { type: "text/javascript" }));
    const [ort, wasm, decoder, encoder] = await Promise.all([
      import(script), gunzip(blob("wasm")), gunzip(blob("decoder")), gunzip(blob("encoder")),
    ]);
    URL.revokeObjectURL(script);
    ort.env.wasm.numThreads = 1;
    ort.env.wasm.wasmBinary = wasm.buffer;
    this.ort = ort;
    this.decoder = await ort.InferenceSession.create(decoder, { executionProviders: ["wasm"] });
    this.encoder = await ort.InferenceSession.create(encoder, { executionProviders: ["wasm"] });
  },

  /** Run calls one at a time, because the runtime has one thread. */
  enqueue(call) {
    const result = (this.last ?? Promise.resolve()).then(call);
    this.last = result.catch(() => {});
    return result;
  },

  /** Decode codes (N * D) to images (N * C * H * W) and class probabilities (N * Y), null without a head. */
  decode(codes) {
    const count = codes.length / LATENTS;
    return this.enqueue(async () => {
      const outputs = await this.decoder.run({ z: new this.ort.Tensor("float32", codes, [count, LATENTS]) });
      return { images: outputs.images.data, probabilities: outputs.probabilities?.data ?? null };
    });
  },

  /** Encode one image (C * H * W) to the mean and log-variance of q(z|x), each (D). */
  encode(pixels) {
    return this.enqueue(async () => {
      const outputs = await this.encoder.run({ x: new this.ort.Tensor("float32", pixels, [1, CHANNELS, HEIGHT, WIDTH]) });
      return { mean: outputs.mean.data.slice(), logVariance: outputs.log_variance.data.slice() };
    });
  },
};
