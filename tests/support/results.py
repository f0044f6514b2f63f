"""The content of a result file."""


def score_row(model: str, mae: float, per_sensor: list) -> dict:
    return {"model": model, "mae": mae, "rmse": 2 * mae, "mae_per_step": [mae, 1.5 * mae], "mae_per_sensor": per_sensor,
            "coverage_80": 0.79, "width_80": 3.0, "crps": None, "seconds_fit": 1.0, "seconds_per_window": 0.1}  # fmt: skip


def ablation_row(variant: str, percent: float) -> dict:
    gap = {"percent": percent, "percent_low": percent - 1, "percent_high": percent + 1, "is_sure": abs(percent) > 1}
    return {"variant": variant, "verdict": f"{variant} moves it by {percent} %.", "seeds": 3, "taken": 1, "same_as": None,
            "mae_network": 2.0, "rmse_network": 3.0, "mae": 2.1, "rmse": 3.1, "spread": {"mae_network": 0.01}, "parameters": 100,
            "trainable": 90, "steps": 50, "seconds_per_step": 0.1, "seconds_per_epoch": 5.0, "peak_mb": 400.0,
            "ms_per_window": 2.0, "difference": gap}  # fmt: skip


def content(**changes) -> dict:
    scores = [score_row("ridge", 3.0, [3.0, 3.0, None]), score_row("=stvlm_x", 2.0, [1.0, 4.0, None])]
    setting = {"windows_train": 100, "windows_test": 40, "backbone": "tiny", "tuning": "full", "steps": 50, "batch_size": 16,
               "seeds": 3, "device": "cpu", "anchor": {"mae": 2.1, "rmse": 3.1}, "interval": "a bootstrap", "block_windows": 8}  # fmt: skip
    return {
        "title": "Wind", "quantity": "wind", "unit": "m/s", "lookback": 6, "horizon": 2, "few_shot": None, "step_minutes": 60.0,
        "windows": {"train": 100, "val": 40, "test": 40}, "scores": scores, "ablation_setting": setting,
        "network": {"ids": ["a", "b", "c"], "lat": [50, 51, 52], "lon": [8, 9, 10]},
        "ablations": [ablation_row("full", -3.0), ablation_row("no image", 0.3)],
    } | changes  # fmt: skip
