"""Wekinator's words. Numbers count from 1; what it would ignore is ignored, and logged."""

from instrument.command_base import Answer, CommandBase
from instrument.source import NumbersSource
from instrument.targets import wekinator_target


class WekinatorCommands(CommandBase):
    """See `Commands`. They are spelt as Wekinator spells them."""

    def control_outputs(self, *values: float) -> Answer:
        outputs = self._engine.patch.outputs
        if len(values) != len(outputs):
            raise ValueError(f"{len(values)} values came, there are {len(outputs)} outputs")
        refused = []
        for output, value in zip(outputs, values, strict=True):
            if (target := wekinator_target(output, value)) is None:
                refused.append(f"{output.name} {value:g}")
                continue
            self._engine.targets[output.name] = target
            self._engine.desk.routes.wekinator_values[output.name] = value
        if refused:
            raise ValueError(f"left as they were, for the patch has no such class or value: {', '.join(refused)}")
        return None

    def control_startRecording(self) -> Answer:
        self._engine.set_running(False)
        self._engine.recordings.start(self._targets(()))
        return None

    def control_stopRecording(self) -> Answer:
        self._engine.recordings.stop(None)
        return None

    def control_startDtwRecording(self, gesture: int) -> Answer:
        for output in self._engine.patch.outputs:
            if output.kind == "trigger" and (target := wekinator_target(output, gesture)) is not None:
                self._engine.set_running(False)
                self._engine.recordings.start({output.name: target})
                return None
        raise ValueError(f"gesture {gesture}: this project has no trigger output with so many movements")

    def control_stopDtwRecording(self) -> Answer:
        self._engine.recordings.stop(None)
        return None

    def control_train(self) -> Answer:
        self._engine.recordings.stop(None)
        self._train([], is_run_after=False)
        return None

    def control_cancelTrain(self) -> Answer:
        self._engine.trainer.cancel()
        return None

    def control_startRunning(self) -> Answer:
        self._engine.recordings.stop(None)
        if all(one.model_id is None for one in self._engine.predictor.status()):
            raise ValueError("nothing is trained yet")  # nor does Wekinator run then
        self._engine.set_running(True)
        return None

    def control_stopRunning(self) -> Answer:
        self._engine.set_running(False)
        return None

    def control_deleteAllExamples(self) -> Answer:
        return self._edit(lambda store: store.delete_all())

    def control_deleteExamplesForOutput(self, number: int) -> Answer:
        name = self._numbered(number).name
        return self._edit(lambda store: store.delete_output(name))

    def control_enableModelRecording(self, *numbers: int) -> Answer:
        return self._for_numbered(numbers, lambda output: self._mask_recording(output.name, True))

    def control_disableModelRecording(self, *numbers: int) -> Answer:
        return self._for_numbered(numbers, lambda output: self._mask_recording(output.name, False))

    def control_enableModelRunning(self, *numbers: int) -> Answer:
        return self._for_numbered(numbers, lambda output: self._enable_running(output, True))

    def control_disableModelRunning(self, *numbers: int) -> Answer:
        return self._for_numbered(numbers, lambda output: self._enable_running(output, False))

    def control_setInputNames(self, *names: str) -> Answer:
        self._set_in_patch("listen.input_names", list(names))
        return None

    def control_setOutputNames(self, *names: str) -> Answer:
        if len(names) != len(self._engine.patch.outputs) or len(set(names)) != len(names):
            raise ValueError(f"{len(names)} names came; wanted: {len(self._engine.patch.outputs)}, each different")
        self._set_in_patch("wekinator.output_names", list(names))
        return None

    def control_selectInputsForOutput(self, number: int, *inputs: int) -> Answer:
        self._numbered(number)
        there = self._engine.patch.listen.inputs
        if isinstance(self._engine.source, NumbersSource) and there and max(inputs) > there:
            raise ValueError(f"input {max(inputs)} was picked, there are {there}")
        self._set_in_patch(f"output.{number}.inputs", sorted(set(inputs)))
        return None

    def control_loadModelFromFile(self, number: int, file: str) -> Answer:
        self._load_model(self._numbered(number), file)
        return None

    def control_saveModelToFile(self, number: int, file: str) -> Answer:
        self._save_model(self._numbered(number), file)
        return None
