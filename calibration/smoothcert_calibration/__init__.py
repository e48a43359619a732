"""Everything measured ahead of certifying: calibration files.

    plan = plan_of(open_dataset(path), "images", (Rotation(5),), Attack.of({"rotation": (-10, 10)}))
    measure(plan, open_dataset(path), Path("rotation.cal"))

Format, strategies and what may be claimed: docs/calibration.md.
"""
